"""Invented people: names, numbers and addresses that belong to nobody. Phone numbers are of the range kept for fiction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

FAMILY = (
    "Abarca", "Baptiste", "Castellanos", "Dinh", "Escobedo", "Fairweather", "Galindo", "Hakobyan", "Ibarra", "Jaramillo", "Khoury",
    "Lindqvist", "Moua", "Nakagawa", "Okonkwo", "Pacheco", "Quintero", "Rasmussen", "Saetern", "Tavares", "Urrutia", "Villanueva",
    "Whitlock", "Xiong", "Yarbrough", "Zamorano",
)  # fmt: skip
GIVEN = (
    "Alma", "Benito", "Carmen", "Delroy", "Estela", "Fermin", "Gloria", "Huong", "Ismael", "Jolene", "Kiet", "Lucinda", "Marvin",
    "Noemi", "Orlando", "Pilar", "Quang", "Rosalie", "Sergio", "Thelma", "Ulises", "Veronica", "Wendell", "Ximena", "Yolanda",
    "Zaven",
)  # fmt: skip
STREETS = ("Almond", "Canal", "Delta", "Granite", "Harbor", "Juniper", "Orchard", "Poplar", "Sycamore", "Weber")
CIN_LETTERS = "ACDEFGHMNTUVWXYZ"
"""The letters in which a CIN may end (domain.md 6)."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member as a plan's file and a hospital's message would name them. `number` is their place in the cast."""

    number: int
    cin: str
    family_name: str
    given_name: str
    birth_date: date
    sex: str
    language: str
    phone: str
    email: str
    address: str
    city: str
    zip: str


def cast(size: int, seed: int = 2026) -> tuple[Person, ...]:
    """So many people, the same for the same seed."""
    dice = Random(seed)
    return tuple(_person(number, dice) for number in range(size))


def _person(number: int, dice: Random) -> Person:
    family, given = FAMILY[(number * 7) % len(FAMILY)], GIVEN[(number * 11 + number // len(GIVEN)) % len(GIVEN)]
    return Person(
        number=number,
        cin=f"9{dice.randrange(10_000_000):07d}{dice.choice(CIN_LETTERS)}",
        family_name=family,
        given_name=given,
        birth_date=date(1945, 1, 1) + timedelta(days=dice.randrange(23_000)),
        sex=dice.choice("FMFMU"),
        language=dice.choice(("en", "en", "en", "es", "es", "vi", "hmn")),
        phone=f"209555{dice.randrange(100, 200):04d}",
        email=f"{given}.{family}{number}@mail.example".lower() if dice.random() < 0.4 else "",
        address=f"{dice.randrange(100, 2000)} {dice.choice(STREETS)} St",
        city=dice.choice(("Stockton", "Modesto", "Merced")),
        zip=str(dice.randrange(95201, 95397)),
    )

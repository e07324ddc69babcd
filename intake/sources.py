"""Who may send messages, and what their messages mean: one row a source (messages.md 2.4).

A source is recognised by its endpoint, certificate, token or address, never by what its messages say of themselves. What differs
between hospitals is a row here, not a branch in the code.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import tomllib
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from intake.er7 import known_charset

DEMO_SOURCES: Final = Path(__file__).with_name("demo-sources.toml")
SOURCES_MAX: Final = 1_000
"""A file with more rows than this is not a registry of hospitals."""


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class AckMode(StrEnum):
    """How a source wants to be answered; `auto` follows MSH-15 and MSH-16 (messages.md 1.5)."""

    AUTO = "auto"
    ORIGINAL = "original"
    ENHANCED = "enhanced"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Facility(_Row):
    """A hospital's own id in this programme, its name for people, and what its messages call it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    name: str
    aliases: tuple[str, ...] = ()


class Source(_Row):
    """One sender of messages.

    `token_sha256` is the hex digest of its bearer token; `certificate_sha256` the fingerprint of its client certificate.
    `id_authorities` maps what messages call an assigning authority to the name that matching uses, `cin` for the state's.
    `production` = False means that test messages are acted on too. `plan_of_referrals`: the health plan of
    referrals that name none.

    `expected_every_minutes`: silence longer than this, within the expected hours of the source's zone, is noticed; 0: never.
    `unmatched_days`: for so long a message waits for somebody to whom it belongs. `tells_membership`: whether the sender may see
    that its message was applied or matched nobody, which tells it who is a member.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    transports: tuple[Literal["mllp", "http"], ...] = ("mllp", "http")
    token_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    certificate_sha256: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    facilities: tuple[Facility, ...] = ()
    facility_fields: tuple[Literal["PV1-3.4", "MSH-4", "EVN-7", "PV1-39"], ...] = ("PV1-3.4", "MSH-4", "EVN-7", "PV1-39")
    timezone: str = "America/Los_Angeles"
    ignore_offsets: bool = False
    charset: str = ""
    ack_mode: AckMode = AckMode.AUTO
    id_authorities: dict[str, str] = Field(default_factory=dict)
    class_aliases: dict[str, Literal["I", "E", "O", "OBS", "P", "R", "B", "C", "N", "U"]] = Field(default_factory=dict)
    disposition_aliases: dict[str, str] = Field(default_factory=dict)
    accept_other_types: bool = False
    production: bool = True
    plan_of_referrals: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = "default"
    expected_every_minutes: Annotated[int, Field(ge=0, le=60 * 24 * 31)] = 0
    expected_from: time = time(0)
    expected_until: time = time(23, 59)
    expected_on: tuple[Weekday, ...] = WEEK
    unmatched_days: Annotated[int, Field(ge=1, le=3_660)] = 180
    tells_membership: bool = False

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError(f"{name!r} is no time zone; write one of the IANA names, e.g. America/Los_Angeles") from unknown
        return name

    @field_validator("charset")
    @classmethod
    def _charset_is_known(cls, name: str) -> str:
        if name and not known_charset(name):
            raise ValueError(f"{name!r} cannot be used; write one of ASCII, 8859/1, 8859/15, windows-1252, UTF-8")
        return name

    @field_validator("addresses")
    @classmethod
    def _addresses_are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @model_validator(mode="after")
    def _hours_make_a_day(self) -> Self:
        if self.expected_from >= self.expected_until:
            raise ValueError("expected_from must lie before expected_until; write 07:00:00 and 19:00:00, and 23:59:00 for midnight")
        return self

    @model_validator(mode="after")
    def _an_alias_names_one_facility(self) -> Self:
        seen: dict[str, str] = {}
        for facility in self.facilities:
            for alias in {facility.id, *facility.aliases}:
                if seen.setdefault(alias.upper(), facility.id) != facility.id:
                    raise ValueError(f"the alias {alias!r} names two facilities; keep it for one of them")
        return self

    def facility_called(self, name: str) -> Facility | None:
        """The facility that messages call so; None where the registry does not know it."""
        wanted = name.strip().upper()
        for facility in self.facilities:
            if wanted == facility.id.upper() or any(wanted == alias.upper() for alias in facility.aliases):
                return facility
        return None

    def authority(self, name: str) -> str:
        """The name that matching uses for an assigning authority; without one, the source itself (messages.md 5)."""
        if not name:
            return self.name
        return self.id_authorities.get(name, f"{self.name}/{name}")


class SourcesInvalid(Exception):
    """The registry cannot be used. The text names the file, the row, the field and the remedy."""


class Sources:
    """The registry: finds who is sending."""

    def __init__(self, rows: tuple[Source, ...]) -> None:
        self.rows = rows
        self._by_name = {row.name: row for row in rows}
        if len(self._by_name) != len(rows):
            raise SourcesInvalid("two sources have one name; give each its own")

    def named(self, name: str) -> Source | None:
        return self._by_name.get(name)

    def holding_token(self, token: str) -> Source | None:
        """The source of a bearer token, compared in constant time."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for row in self.rows:
            if row.token_sha256 and "http" in row.transports and hmac.compare_digest(row.token_sha256, digest):
                found = row
        return found

    def with_token(self, name: str, token: str) -> Sources:
        """The same registry, in which a source also sends over HTTP with this bearer token."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        return Sources(tuple(row.model_copy(update={"token_sha256": digest}) if row.name == name else row for row in self.rows))

    def presenting_certificate(self, certificate_der: bytes) -> Source | None:
        fingerprint = hashlib.sha256(certificate_der).hexdigest()
        return next((row for row in self.rows if "mllp" in row.transports and fingerprint in row.certificate_sha256), None)

    def at_address(self, address: str) -> Source | None:
        """The source that is allowed to send from a network address without a certificate."""
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            return None
        for row in self.rows:
            if "mllp" in row.transports and any(host in ipaddress.ip_network(network) for network in row.addresses):
                return row
        return None


def load_sources(path: Path | None = None) -> Sources:
    """The registry from a TOML file with `[[source]]` tables; the demo's own where no path is given.

    Raises `SourcesInvalid` with the file, the row, the field and what to write instead.
    """
    path = path or DEMO_SOURCES
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        raise SourcesInvalid(f"{path}: there is no such file; name one with [[source]] tables") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise SourcesInvalid(f"{path}: not TOML: {broken}") from None
    rows = tables.get("source")
    if not isinstance(rows, list) or not rows or len(rows) > SOURCES_MAX or set(tables) != {"source"}:
        raise SourcesInvalid(f"{path}: write 1 to {SOURCES_MAX} [[source]] tables and nothing else")
    sources: list[Source] = []
    for number, row in enumerate(rows, start=1):
        try:
            sources.append(Source.model_validate(row))
        except ValidationError as wrong:
            first = wrong.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the row"
            line = line_of(text, number, first["loc"])
            raise SourcesInvalid(f"{path}, line {line}: source {number}: {field}: {_remedy(first)}") from None
    return Sources(tuple(sources))


_HEADING = re.compile(r"^\s*\[\[\s*source\s*\]\]")


def line_of(text: str, number: int, loc: tuple[int | str, ...]) -> int:
    """The line, counted from 1, on which the `number`th source says the field, else where that source begins."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if _HEADING.match(line)]
    if number > len(starts):
        return 1
    begin = starts[number - 1]
    end = starts[number] if number < len(starts) else len(lines)
    at = begin
    for part in loc:
        if isinstance(part, int):  # the nth table of a list, else an element of a list that stands on the line already found
            tables = [n for n in range(begin, end) if re.match(rf"^\s*\[\[\s*source\.{re.escape(str(loc[0]))}\s*\]\]", lines[n])]
            at = tables[part] if part < len(tables) else at
            continue
        said = re.compile(rf"^\s*(\[+\s*(source\.)?)?[\"']?{re.escape(part)}[\"']?\s*(\]|=)")
        at = next((n for n in range(at, end) if said.match(lines[n])), at)
    return at + 1


def _remedy(error: ErrorDetails) -> str:
    """What is wrong and what to write, in a registry's words."""
    match error["type"]:
        case "extra_forbidden":
            known = ", ".join(sorted(Source.model_fields))
            return f"there is no such field; take it away or write one of {known}"
        case "missing":
            return "is missing; write it"
        case _:
            return error["msg"].removeprefix("Value error, ")

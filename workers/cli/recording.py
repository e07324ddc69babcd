"""`record …` and `staff …`: what a person says happened, made from the same allow-list as the API (api/offers.py)."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, get_args, get_origin
from uuid import uuid4

import typer

from api.commands import as_model, carry_out, command_id_of, prepare
from api.looking_back import instant_of
from api.offering import Given, Offer, plain
from api.offers import OFFERS
from domain.core import Refusal, personal_fields
from intake.identity import IdentityKeys
from workers.cli import frame as f
from workers.cli.frame import Json, Limit, Names, Stop
from workers.cli.people import actor, staff_of, stream_of
from workers.services import projector_of, queries_of

As = Annotated[str | None, typer.Option("--as", help="Who you are: a staff id or mail address (or set THROUGHLINE_AS).")]
Key = Annotated[
    str | None, typer.Option("--command-key", help="Your own id of this command: the same again gives the first result.")
]
At = Annotated[str | None, typer.Option("--at", help="When it happened, such as 2026-11-20T15:05 (office time); left out: now.")]
Version = Annotated[int | None, typer.Option("--expected-version", min=0, help="Refuse where the stream is not at this version.")]

record = typer.Typer(
    help="Write down what happened: attempts, contacts, consent, stays, checklist items …", no_args_is_help=True,
    rich_markup_mode="rich",
)  # fmt: skip
staff = typer.Typer(
    help="Who works here: roles, licences, absences, members' leads.", no_args_is_help=True, rich_markup_mode="rich"
)

PANELS = {
    "members": "About the member", "episodes": "About the episode", "outreach": "About reaching them", "stays": "Stays by hand",
    "transitions": "After a discharge",
}  # fmt: skip
ON_STAFF = ("assign", "hand-over", "release")
"""Offers about an episode that belong to `staff` too."""

SAMPLE = {
    "members": "91234567A", "episodes": "episode-1c2d3e4f", "outreach": "outreach-1c2d3e4f", "stays": "stay-9a7b5c3d",
    "transitions": "transition-1c2d3e4f", "staff": "dana@example.org",
}  # fmt: skip


def command_of(offer: Offer, group: str) -> Callable[..., None]:
    """The typer command of an offer: one option a field, an example in its help."""

    def give(**said: Any) -> None:
        json, by, key, at, version = (said.pop(name) for name in ("json", "as_", "command_key", "at", "expected_version"))
        about = said.pop("about", None)
        values = {name: value for name, value in said.items() if value not in (None, (), [])}
        with f.opened() as system:
            for given in offer.given:
                if values.get(given.name) == "-" and given.name in personal_fields(offer.command):
                    values[given.name] = sys.stdin.read().strip()
                if given.name in values:
                    values[given.name] = _meant(system, given, values[given.name])
            if at is not None:
                values["occurred_at"] = _instant(at, "--at")
            model = as_model(offer, values)
            stream = None
            if about is not None:
                stream = staff_of(system, about) if offer.stream == "staff" else stream_of(system, about, kind=offer.stream)
            who = actor(system, by)
            command_id = command_id_of(key, who) if key else uuid4()
            identity = IdentityKeys(system.settings.keys().index)
            prepared = prepare(offer, model, stream=stream, by=who, command_id=command_id, identity=identity)
            if isinstance(prepared, Refusal):
                f.accepted(prepared)
                return
            outcome = carry_out(system.gateway, prepared, command_id=command_id, expected_version=version)
            f.show_accepted(system, f.accepted(outcome), json=json)

    give.__name__ = offer.verb.replace("-", "_")
    remark = f"{offer.remark}\n\n" if offer.remark else ""
    give.__doc__ = f"{offer.summary}.\n\n{remark}Example:\n\n    {example_of(offer, group)}\n"
    give.__signature__ = inspect.Signature(list(_parameters(offer)))  # type: ignore[attr-defined]
    return give


def _parameters(offer: Offer) -> Sequence[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    made: list[inspect.Parameter] = []
    if not offer.founds:
        whom = "a staff id or mail address" if offer.stream == "staff" else f"an id of the {offer.stream} (or its beginning)"
        also = ", or the member's CIN" if offer.stream in ("member", "episode", "outreach", "transition") else ""
        made.append(inspect.Parameter("about", keyword, annotation=Annotated[str, typer.Argument(help=f"Whom: {whom}{also}.")]))
    said = [(given.name, _option(given), _default(given)) for given in offer.given]
    said += [
        ("at", At, None),
        ("as_", As, None),
        ("command_key", Key, None),
        ("expected_version", Version, None),
        ("json", Json, False),
    ]
    return made + [inspect.Parameter(name, keyword, annotation=kind, default=default) for name, kind, default in said]


def _option(given: Given) -> Any:
    kind = plain(given.type)
    flag = f"--{given.name.replace('_', '-')}"
    if kind is bool:
        return Annotated[bool, typer.Option(f"{flag}/--no-{flag[2:]}", help=_words(given))]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return Annotated[list[inner] | None, typer.Option(flag, help=f"{_words(given)} May be given several times.")]  # type: ignore[valid-type]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return Annotated[kind if given.required else kind | None, typer.Option(flag, help=_words(given))]
    if kind is int:
        return Annotated[int, typer.Option(flag, help=_words(given))]
    return Annotated[str if given.required else str | None, typer.Option(flag, help=_words(given))]


def _words(given: Given) -> str:
    said = given.name.replace("_", " ").capitalize()
    if plain(given.type) is datetime:
        return f"{said}, with date and time."
    return f"{said} (- reads it from standard input)." if given.name in ("note", "reason", "value") else f"{said}."


def _default(given: Given) -> Any:
    if given.required:
        return inspect.Parameter.empty
    kind = plain(given.type)
    return given.default if kind in (bool, int) else None


def _meant(system: Any, given: Given, value: Any) -> Any:
    """A value as the model takes it: instants with their zone, ids in full."""
    kind = plain(given.type)
    if kind is datetime:
        return _instant(value, f"--{given.name.replace('_', '-')}")
    if given.name in ("staff", "receiver", "supervisor") and isinstance(value, str):
        return staff_of(system, value)
    if given.name in ("member", "episode", "stay") and isinstance(value, str):
        return stream_of(system, value, kind=given.name)
    return value


def _instant(text: str, field: str) -> datetime:
    try:
        return instant_of(text)
    except ValueError:
        raise Stop(
            "is no instant.", field=field, remedy="write 2026-11-20T15:05 or 2026-11-20T15:05-08:00", status=f.USAGE
        ) from None


def example_of(offer: Offer, group: str) -> str:
    """The command line that says what the offer's example says."""
    words = ["throughline", group, offer.verb, *(() if offer.founds else (SAMPLE[offer.resource],))]
    for name, value in offer.example.items():
        flag = "--at" if name == "occurred_at" else f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            words += [flag if each is not False else f"--no-{flag[2:]}"] if isinstance(each, bool) else [flag, str(each)]
    return shlex.join(words)


@staff.command("list")
def list_staff(
    role: Annotated[str | None, typer.Option(help="Only people in this role.")] = None,
    limit: Limit = 100,
    names: Names = True,
    json: Json = False,
) -> None:
    """Who works here, with roles, licences and absences.

    Example:

        throughline staff list --role supervisor
    """
    with f.opened() as system:
        projector_of(system).run_until_caught_up("staff")
        page = queries_of(system).staff(role=role, limit=limit, names=names)
        if json:
            return f.as_json(page)
        rows = [
            (s.staff, s.name, s.roles, [f"{h.licence} to {h.expires_on}" for h in s.licences],
             [f"{a.first_day}–{a.last_day}" for a in s.absences], s.languages, s.last_day)
            for s in page.items
        ]  # fmt: skip
        columns = ("id", "name", "roles", "licences", "absences", "languages", "until")
        f.table("Staff", columns, rows, empty="Nobody works here yet; `throughline staff add` adds the first, a supervisor.")


def mount(app: typer.Typer) -> None:
    for offer in OFFERS:
        if offer.resource == "staff":
            staff.command(offer.verb)(command_of(offer, "staff"))
            continue
        record.command(offer.verb, rich_help_panel=PANELS[offer.resource])(command_of(offer, "record"))
        if offer.verb in ON_STAFF:
            staff.command(offer.verb)(command_of(offer, "staff"))
    app.add_typer(record, name="record", rich_help_panel="Daily work")
    app.add_typer(staff, name="staff", rich_help_panel="Daily work")

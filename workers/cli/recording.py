"""`record …` and `staff …`: what a person says happened, made from the same allow-list as the API (api/offers.py)."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from datetime import date, datetime
from enum import StrEnum
from json import dumps, loads
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from uuid import uuid4

import typer

from api.commands import as_model, carry_out, command_id_of, prepare
from api.looking_back import instant_of
from api.offering import Given, Offer, is_mapping, part_of, plain
from api.offers import OFFERS
from domain.core import Refusal, personal_fields
from intake.people.identity import IdentityKeys
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.cli.people import PROCESSES_OF_AN_EPISODE, actor, staff_of, stream_of

As = Annotated[str | None, typer.Option("--as", help="Who you are: a staff id or mail address (or set THROUGHLINE_AS).")]
Key = Annotated[
    str | None, typer.Option("--command-key", help="Your own id of this command: the same again gives the first result.")
]
At = Annotated[str | None, typer.Option("--at", help="When it happened, such as 2026-11-20T15:05 (office time); left out: now.")]
Version = Annotated[int | None, typer.Option("--expected-version", min=0, help="Refuse where the stream is not at this version.")]
FromFile = Annotated[
    Path | None, typer.Option("--from-file", help="A JSON file that says what the options say (-: standard input). An option wins.")
]
ABOUT = "about_whom"
"""The argument of every command that is about somebody; no command has a field of that name."""

record = typer.Typer(
    help="Write down what happened: attempts, contacts, consent, stays, checklist items …", no_args_is_help=True,
    rich_markup_mode="rich",
)  # fmt: skip
staff = typer.Typer(
    help="Who works here: roles, licences, absences, members' leads.", no_args_is_help=True, rich_markup_mode="rich"
)

PANELS = {
    "members": "About the member", "episodes": "About the episode", "outreach": "About reaching them", "stays": "Stays by hand",
    "transitions": "After a discharge", "follow-ups": "Following up",
}  # fmt: skip
ON_STAFF = ("assign", "release")
"""Offers about an episode that belong to `staff` too."""

SAMPLE = {
    "members": "91234567A", "episodes": "episode-1c2d3e4f", "outreach": "outreach-1c2d3e4f", "stays": "stay-9a7b5c3d",
    "transitions": "transition-1c2d3e4f", "follow-ups": "91234567A", "staff": "dana@example.org",
}  # fmt: skip


def command_of(offer: Offer, group: str) -> Callable[..., None]:
    """The typer command of an offer: one option a field, an example in its help."""

    def give(**said: Any) -> None:
        json, by, key, at, version = (said.pop(name) for name in ("json", "as_", "command_key", "at", "expected_version"))
        about, file = said.pop(ABOUT, None), said.pop("from_file", None)
        values = _of_file(offer, file) if file is not None else {}
        values |= {name: value for name, value in said.items() if value not in (None, (), [])}
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
    if offer.has_parts:
        give.__doc__ += f"\n\n{_file_example_of(offer, group)}"
    give.__signature__ = inspect.Signature(list(_parameters(offer)))  # type: ignore[attr-defined]
    return give


def _parameters(offer: Offer) -> Sequence[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    made: list[inspect.Parameter] = []
    if not offer.founds:
        whom = "a staff id or mail address" if offer.stream == "staff" else f"an id, {offer.stream}-… (or its beginning)"
        also = ", or the member's CIN" if offer.stream in ("member", "episode", *PROCESSES_OF_AN_EPISODE) else ""
        made.append(
            inspect.Parameter(
                ABOUT, keyword, annotation=Annotated[str, typer.Argument(metavar="ABOUT", help=f"Whom: {whom}{also}.")]
            )
        )
    said: list[tuple[str, Any, Any]] = [(g.name, _option(g, offer), _default(g, offer)) for g in offer.given]
    said += [("from_file", FromFile, None)] if offer.has_parts else []
    said += [
        ("at", At, None),
        ("as_", As, None),
        ("command_key", Key, None),
        ("expected_version", Version, None),
        ("json", Json, False),
    ]
    return made + [inspect.Parameter(name, keyword, annotation=kind, default=default) for name, kind, default in said]


def _option(given: Given, offer: Offer) -> Any:
    kind, needed = plain(given.type), given.required and not offer.has_parts
    flag, words = f"--{given.name.replace('_', '-')}", _words(given)
    if given.required and offer.has_parts:
        words += " Needed, here or in the file."
    if kind is bool:
        return Annotated[bool if needed or not given.required else bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=words)]
    if part_of(kind) is not None or is_mapping(kind):
        return Annotated[list[str] | None, typer.Option(flag, metavar=_form(kind), help=f"{words} May be given several times.")]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return Annotated[list[inner] | None, typer.Option(flag, help=f"{words} May be given several times.")]  # type: ignore[valid-type]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return Annotated[kind if needed else kind | None, typer.Option(flag, help=words)]
    if kind is int:
        return Annotated[int if needed else int | None, typer.Option(flag, help=words)]
    return Annotated[str if needed else str | None, typer.Option(flag, help=words)]


def _form(kind: Any) -> str:
    """How one part is written: `goal=…,topic=…`, or `NAME=VALUE`."""
    part = part_of(kind)
    if part is None:
        return "NAME=INTEGER" if get_args(kind)[1] is int else "NAME=TEXT"
    return ",".join(f"{x.name}=…" if x.default is MISSING else f"[{x.name}=…]" for x in fields(part))


def _words(given: Given) -> str:
    said = given.name.replace("_", " ").capitalize()
    if given.takes:
        return f"{said}: {', '.join(given.takes)}."
    if plain(given.type) is datetime:
        return f"{said}, with date and time."
    if plain(given.type) is date:
        return f"{said}, such as 2026-11-20."
    return f"{said} (- reads it from standard input)." if given.name in ("note", "reason", "value", "wish") else f"{said}."


def _default(given: Given, offer: Offer) -> Any:
    if given.required:
        return None if offer.has_parts or get_origin(plain(given.type)) is tuple else inspect.Parameter.empty
    kind = plain(given.type)
    return given.default if kind in (bool, int) else None


def _of_file(offer: Offer, file: Path) -> dict[str, Any]:
    """What a file says: the body that the API takes. Raises Stop."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        said = loads(text)
    except OSError as error:
        raise Stop(
            f"cannot be read ({type(error).__name__}).", field="--from-file", remedy="give its path", status=f.USAGE
        ) from None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Stop(
            "is no JSON object.", field="--from-file", remedy=f"write it like {dumps(dict(offer.example))}", status=f.USAGE
        ) from None
    return said


def _parts(given: Given, said: Sequence[str]) -> Any:
    """Parts as they stand on the command line: `goal=g-1,topic=housing`, or `name=value`. Raises Stop."""
    flag, part = f"--{given.name.replace('_', '-')}", part_of(given.type)
    found = [dict(_split(flag, piece, given) for piece in each.split(",")) for each in said] if part is not None else []
    return found if part is not None else dict(_split(flag, each, given) for each in said)


def _split(flag: str, said: str, given: Given) -> tuple[str, str]:
    name, mark, value = said.partition("=")
    if not mark or not name.strip():
        raise Stop(f"{said!r} is not of the form name=value.", field=flag, remedy=f"write {_form(given.type)}", status=f.USAGE)
    return name.strip(), value.strip()


def _meant(system: Any, given: Given, value: Any) -> Any:
    """A value as the model takes it: instants with their zone, ids in full."""
    kind = plain(given.type)
    if kind is datetime:
        return _instant(value, f"--{given.name.replace('_', '-')}")
    if (part_of(kind) is not None or is_mapping(kind)) and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return _parts(given, value)
    if given.name in ("staff", "receiver", "supervisor") and isinstance(value, str):
        return staff_of(system, value)
    if given.name in ("member", "episode", "stay") and isinstance(value, str):
        return stream_of(system, value, kind=given.name)
    if given.name == "previous" and isinstance(value, str):
        return stream_of(system, value, kind="episode")
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
        for each in _each(value):
            words += [flag if each is not False else f"--no-{flag[2:]}"] if isinstance(each, bool) else [flag, str(each)]
    return shlex.join(words)


def _each(value: Any) -> list[Any]:
    """An option's values, one for each time that it is given."""
    if isinstance(value, dict):
        return [f"{name}={said}" for name, said in value.items()]
    if isinstance(value, list):
        return [",".join(f"{n}={v}" for n, v in each.items()) if isinstance(each, dict) else each for each in value]
    return [value]


def _file_example_of(offer: Offer, group: str) -> str:
    """The same from a file, and what stands in it."""
    whom = "" if offer.founds else f" {SAMPLE[offer.resource]}"
    body = dumps(dict(offer.example), ensure_ascii=False)
    line = f"throughline {group} {offer.verb}{whom} --from-file said.json"
    return f"Or from a file, which the API takes as it is:\n\n    {line}\n\n{body}\n"


def mount(app: typer.Typer) -> None:
    for offer in OFFERS:
        if offer.resource == "staff":
            staff.command(offer.verb)(command_of(offer, "staff"))
            continue
        record.command(offer.verb, rich_help_panel=offer.group or PANELS[offer.resource])(command_of(offer, "record"))
        if offer.verb in ON_STAFF:
            staff.command(offer.verb)(command_of(offer, "staff"))
    app.add_typer(record, name="record", rich_help_panel="Daily work")
    app.add_typer(staff, name="staff", rich_help_panel="Daily work")

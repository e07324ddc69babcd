"""What every command shares: settings, the ground under it, output as a table or as JSON, and errors that say what to do.

Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 something is away, 4 a defect of ours. Nobody sees a traceback.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import typer
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from temporalio.service import RPCError
from typer.core import TyperGroup

from domain.core import Refusal
from domain.staff.decider import OFFICE_ZONE
from domain.stay.facts import day_alone
from eventlog.gateway import Accepted, Conflict, Outcome
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.reading.faults import fault_of
from intake.senders.sources import SourcesInvalid
from intake.store.inbox import CannotStore, UnknownMessage
from projections.runner import ProjectorAway, ProjectorStopped
from workers.composition import System, open_system, prepare
from workers.ground.child import GroundError
from workers.ground.postgres import provide_postgres
from workers.rebuild import NamespaceNotEmpty, RebuildRuns
from workers.router_store import AnotherIncarnation, AnotherRouter
from workers.services import prepare_door, projector_of
from workers.settings import Settings, SettingsError, load_settings
from workers.signals import TemporalAway
from workers.telemetry import TelemetryTargets, start_telemetry
from workers.telemetry.setup import TelemetryMissing

OK, REFUSED, USAGE, AWAY, DEFECT = 0, 1, 2, 3, 4
WIDE = 220
"""Columns of a table that goes into a file or a pipe."""

Json = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most so many rows.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where the last page ended (its next_cursor).")]
Names = Annotated[bool, typer.Option("--names/--no-names", help="Show people's names (they are unsealed for this page only).")]

_NO_ID = "should be a valid UUID"
"""What the parser says of an id that is none: it means nothing to the person who typed it."""
_UNAVAILABLE = (
    GroundError, LogAway, psycopg.OperationalError, PoolTimeout, TemporalAway, RPCError, ConnectionError, ProjectorAway,
    CannotStore, CannotUnwrap, TelemetryMissing,
)  # fmt: skip
_SAYS_ITSELF = (
    SettingsError, GroundError, TelemetryMissing, SourcesInvalid, UnknownMessage, ProjectorStopped, AnotherIncarnation,
    AnotherRouter, NamespaceNotEmpty, RebuildRuns, CannotUnwrap,
)  # fmt: skip
"""Errors whose own text is written for the person at the terminal."""
_TOLD_BY_NAME = ("DemoRuns", "DemoFailed", "Nobody", "BadFilter", "FileRefused", "ProfileInvalid", "TokenRefused")
"""The same, of modules that are loaded only by the commands that raise them."""


class Stop(Exception):
    """A command ends with a message for the person who gave it. `field` is what was wrong, `remedy` what to do."""

    def __init__(self, said: str, *, field: str = "", remedy: str = "", code: str = "", status: int = REFUSED) -> None:
        super().__init__(said)
        self.said, self.field, self.remedy, self.code, self.status = said, field, remedy, code, status


@dataclass
class Frame:
    """The settings of this call. Tests put other ones in its place."""

    settings: Settings | None = None
    demo: bool = False

    def load(self) -> Settings:
        settings = self.settings or load_settings()
        if self.demo:
            from workers.demo import demo_settings

            return demo_settings(settings)
        return settings


asked = Frame()
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Root(TyperGroup):
    """The top level: every way in which a command can end is an exit status and a sentence."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        words = sys.argv[1:] if args is None else args
        json = "--json" in words
        try:
            ended = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            status = ended if isinstance(ended, int) and not isinstance(ended, bool) else OK
        except (KeyboardInterrupt, typer.Abort):
            err.print("Interrupted.")
            status = 130
        except BrokenPipeError:
            status = OK
        except Exception as error:
            status = tell(error, json=json, command=self._command_of(words))
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.exit(status)

    def _command_of(self, words: Sequence[str]) -> str:
        """The command that was meant, as far as it was: an option without its value does not say whose it is."""
        path, at = ["throughline"], self.commands
        for word in words:
            if word not in at:
                if word.startswith("-"):
                    continue
                break
            path.append(word)
            at = getattr(at[word], "commands", {})
        return " ".join(path)


def tell(error: Exception, *, json: bool, command: str = "throughline") -> int:
    """Say what went wrong and what to do; the exit status. `command` is the one that was given."""
    match error:
        case Stop():
            stop = error
        case typer.TyperException():
            context, said = getattr(error, "ctx", None), getattr(error, "format_message", lambda: str(error))()
            if type(error).__name__ == "NoArgsIsHelpError":
                sys.stdout.write(said + "\n")
                return OK
            hint = f"see `{context.command_path if context else command} --help`"
            stop = Stop(said, remedy=hint, code="usage", status=USAGE)
            if _NO_ID in said and (about := getattr(error, "param", None)) is not None:
                stop = Stop("that is no id.", field=about.name, remedy=about.help, code="usage", status=USAGE)
        case ValidationError():
            first = fault_of(error.errors(include_input=False, include_url=False)[0])
            remedy = first.remedy.replace("/v1/docs", "the command's --help")
            stop = Stop(f"{first.fault}.", field=first.field, remedy=remedy, code="invalid", status=USAGE)
        case _ if isinstance(error, _SAYS_ITSELF):
            status = AWAY if isinstance(error, _UNAVAILABLE) else USAGE if isinstance(error, SettingsError) else REFUSED
            remedy = "see `throughline inbox list`" if isinstance(error, UnknownMessage) else ""
            stop = Stop(str(error), code=type(error).__name__, status=status, remedy=remedy)
        case _ if isinstance(error, _UNAVAILABLE):
            what = "Temporal" if isinstance(error, TemporalAway | RPCError) else "The database"
            stop = Stop(
                f"{what} does not answer ({type(error).__name__}).", remedy="`throughline doctor` looks at everything",
                code="away", status=AWAY,
            )  # fmt: skip
        case _ if type(error).__name__ == "PlanUnknown":
            field, _, said = str(error).partition(": ")
            stop = Stop(said, field=field, code="plan_unknown", status=USAGE)
        case _ if type(error).__name__ in _TOLD_BY_NAME:
            stop = Stop(str(error), code=type(error).__name__)
        case _:
            stop = _defect(error)
    show(stop, json=json)
    return stop.status


def show(stop: Stop, *, json: bool) -> None:
    if json:
        said = {"error": stop.said, "code": stop.code, "field": stop.field, "remedy": stop.remedy}
        err.print(msgspec.json.encode({k: v for k, v in said.items() if v}).decode(), markup=False)
        return
    line = Text("✗ ", style="bold red")
    if stop.field:
        line.append(f"{stop.field}: ", style="bold")
    line.append(stop.said)
    err.print(line)
    if stop.remedy:
        err.print(Text(f"  → {stop.remedy}", style="cyan"))


def _defect(error: Exception) -> Stop:
    """A defect: its class and place, never its text, which may quote values."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    return Stop(
        f"Something went wrong on our side ({type(error).__name__}{where}).",
        remedy="please report it with this line; `throughline doctor` looks at the ground", code="defect", status=DEFECT,
    )  # fmt: skip


# --- the ground under a command ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ground(settings: Settings) -> Iterator[Settings]:
    """Settings with both databases' addresses: those given, else our own server's, started for as long as this needs it."""
    if settings.database_url:
        yield settings
        return
    found = provide_postgres(settings.throughline_home, database_url=None, keys_database_url=settings.keys_database_url)
    try:
        yield settings.model_copy(update={"database_url": found.url, "keys_database_url": found.keys_url})
    finally:
        found.stop()


@contextlib.contextmanager
def opened(*, make: bool = True) -> Iterator[System]:
    """The system, for one command. `make`: set the tables up where they are missing."""
    with ground(asked.load()) as settings:
        quiet_telemetry(settings, "cli")
        if make and not _made(settings):
            set_up(settings)
        with open_system(settings, pool_max=4) as system:
            yield system


def set_up(settings: Settings) -> None:
    """Create or complete every table of the log, the shell, the front door, the tokens and the read models."""
    prepare(settings)
    with open_system(settings, pool_max=2) as system:
        prepare_door(system)
        projector_of(system).create()


def _made(settings: Settings) -> bool:
    assert settings.database_url
    with psycopg.connect(settings.database_url, connect_timeout=10) as conn:
        row = conn.execute(
            "SELECT to_regclass('log.events') IS NOT NULL AND to_regclass('api_token') IS NOT NULL"
            " AND to_regclass('router_tracking') IS NOT NULL AND EXISTS (SELECT FROM pg_namespace WHERE nspname = 'read')"
        ).fetchone()
    return bool(row and row[0])


def quiet_telemetry(settings: Settings, role: str) -> None:
    """A command's own log lines go beside those of the workers, not between its output."""
    logs = settings.throughline_home / "logs"
    start_telemetry(role, TelemetryTargets(log_file=logs / f"{role}.jsonl", otlp_endpoint=settings.otel_exporter_otlp_endpoint))


# --- output --------------------------------------------------------------------------------------------------------------------


def as_json(value: Any) -> None:
    """Any result, for programs."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()
    sys.stdout.write(text + "\n")


def done(said: str, *, json: bool, **found: Any) -> None:
    """A command has done what it was given: a sentence for people, for programs whatever of it they may go on with."""
    if json:
        as_json(found)
    else:
        out.print(said)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, note: str = "") -> None:
    """Rows for people. `empty` is what to say where there are none."""
    listed = [[_cell(value) for value in row] for row in rows]
    if not listed:
        out.print(empty)
        return
    width = None if out.is_terminal else WIDE
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in listed:
        made.add_row(*row)
    Console(highlight=False, width=width, file=sys.stdout).print(made)
    if note:
        err.print(Text(note, style="dim"))


def tree(made: Tree) -> None:
    """An indented account, wrapped where the screen ends."""
    Console(highlight=False, width=None if out.is_terminal else WIDE, file=sys.stdout).print(made)


def _cell(value: Any) -> Text:
    if value is None or value in ("", (), []):
        return Text("·", style="dim")
    if isinstance(value, Text):
        return value
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime):
        return Text(local(value))
    if isinstance(value, tuple | list):
        return Text(", ".join(str(v) for v in value))
    return Text(str(value))


def local(instant: datetime | None, *, due: bool = False) -> str:
    """An instant in the office's time. A `due` at midnight is shown as the last second before it, as people mean it."""
    if instant is None:
        return ""
    there = instant.astimezone(ZoneInfo(OFFICE_ZONE))
    if due and (there.hour, there.minute, there.second) == (0, 0, 0):
        return f"{date.fromordinal(there.toordinal() - 1):%a %Y-%m-%d} 23:59"
    return f"{there:%a %Y-%m-%d %H:%M}"


def when(at: datetime | None, on: date | None) -> str:
    """An instant in the office's time; where only its day is known, that day and no time."""
    return local(at) if on is None else f"{on:%a %Y-%m-%d}"


def coloured(state: str) -> Text:
    """A verdict or a state in its colour, so that a miss is seen at once."""
    colours = {
        "missed": "bold red", "infeasible": "bold red", "dead": "bold red", "stopped": "bold red", "fail": "bold red",
        "met_late": "yellow", "unmatched": "yellow", "waiting": "yellow", "behind": "yellow", "warn": "yellow",
        "confirmed": "green", "met": "green", "applied": "green", "live": "green", "ok": "green", "open": "cyan",
        "proposed": "yellow", "rejected": "dim", "withdrawn": "dim", "suspended": "dim",
    }  # fmt: skip
    return Text(state, style=colours.get(state, ""))


def short(stream: str) -> str:
    """A stream id, short enough to read; long enough to be found again."""
    kind, _, id = stream.partition("-")
    return f"{kind}-{id[:8]}" if len(id) > 12 else stream


@contextlib.contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Any]:
    """A bar for long work: call what it yields with (done, of)."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err, transient=True,
        disable=quiet or not err.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


# --- results of commands -------------------------------------------------------------------------------------------------------


def accepted(outcome: Outcome) -> Accepted:
    """What was recorded. Raises Stop for a refusal and for a conflict."""
    match outcome:
        case Refusal(code=code, because=because):
            named, mark, rest = because.partition(": ")
            known = bool(mark) and named.isidentifier()
            said, _, remedy = (rest if known else because).partition("; ")
            raise Stop(said, field=named if known else "", remedy=remedy, code=code)
        case Conflict(stream=stream, expected=expected, actual=actual):
            raise Stop(
                f"{stream} has moved on: it is at version {actual}, not {expected}.", field="expected-version",
                remedy="look at it again with `throughline timeline`, then repeat", code="version_moved",
            )  # fmt: skip
        case Accepted():
            return outcome


def show_accepted(system: System, done: Accepted, *, json: bool) -> None:
    """What a command led to."""
    name_of = system.log.codec.name_of
    facts = [
        {"event_id": r.event_id, "fact": name_of(r.fact), "stream": r.stream, "version": r.version, "occurred_at": r.occurred_at}
        for r in done.facts
    ]
    if json:
        as_json(
            {"stream": done.stream, "version": done.version, "position": done.position, "repeated": done.repeated, "facts": facts}
        )
    elif not facts:
        out.print(f"Already so. {done.stream} stays at version {done.version}.")
    else:
        for r in done.facts:
            out.print(
                Text.assemble(("✓ ", "green"), f"{name_of(r.fact)}  {r.stream}  ", (when(r.occurred_at, day_alone(r)), "dim"))
            )

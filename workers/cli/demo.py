"""`throughline demo`: the story by itself, then the programme stays up; and `demo advance`, which moves its clock."""

from __future__ import annotations

import re
import signal
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Annotated
from urllib.request import urlopen

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from workers import demo
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.clock import OFFSET_DAYS_MAX
from workers.composition import open_system
from workers.demo import MEMBERS, Past, Stage
from workers.story import Story

app = typer.Typer(
    invoke_without_command=True,
    help="An invented programme with a year of history: it tells its story over the wire, then stays up.",
)

READY_SECONDS_MAX = 90.0
READY_WITHIN_SECONDS = 2.0
UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@app.callback()
def tell(
    context: typer.Context,
    exit_: Annotated[bool, typer.Option("--exit", help="Tell the story, stop everything, end with status 0.")] = False,
    members: Annotated[int, typer.Option(min=1, max=500, help="How many members the invented programme has.")] = MEMBERS,
) -> None:
    """Set an invented programme up, tell its story, and stay up until Ctrl-C.

    The databases, the namespace and the folder are the demo's own; nothing else on this machine is touched.

    Examples:

        throughline demo

        throughline demo --exit

        throughline --demo worklist --due-before 2026-12-01
    """
    if context.invoked_subcommand is not None:
        return
    settings = f.asked.load()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever else ends us, everything is stopped in order too
    with demo.only_demo(settings), demo.stage(settings, _dim) as stage:
        f.quiet_telemetry(stage.settings, "demo")
        past = _past(stage, members)
        with demo.at_work(stage) as child, open_system(stage.settings, pool_max=4) as system:
            demo.until("the API", lambda: _ready(stage, child.poll()), READY_SECONDS_MAX)
            Story(stage, past, system, _heading, _line).tell()
            if exit_:
                f.out.print("\nThe story is told; everything is stopped again.")
                return
            _stays_up(stage)
            try:
                status = child.wait()
            except KeyboardInterrupt:
                f.err.print("Stopping the demo.", style="dim")
                return
            raise demo.DemoFailed(f"The programme ended by itself, with status {status}; its words are in {demo.words_of(stage)}")


@app.command()
def advance(
    by: Annotated[str, typer.Argument(help="How far: 3d, 12h or 90m.", metavar="DURATION")],
    json: Json = False,
) -> None:
    """Move the demo's clock ahead; every process looks at once what that means for it.

    Example:

        throughline demo advance 3d
    """
    found = re.fullmatch(r"(\d{1,5})([dhm])", by.strip())
    moved = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < moved <= timedelta(days=OFFSET_DAYS_MAX):
        raise Stop("must be days, hours or minutes ahead", field="DURATION", remedy="such as 3d, 12h or 90m", status=f.USAGE)
    now, told = demo.advance_clock(demo.demo_settings(f.asked.load()), moved)
    if json:
        f.as_json({"now": now, "processes_told": told})
        return
    f.out.print(f"The demo's clock shows {f.local(now)}; {told} processes were told to look.")


def _past(stage: Stage, members: int) -> Past:
    """History and workflows, with a bar for each."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=f.err, transient=True, disable=not f.err.is_terminal) as bars:
        bar = {
            "history": bars.add_task("Living through a year", total=1.0),
            "workflows": bars.add_task("Rebuilding workflows from the log", total=1.0),
        }

        def progress(what: str, share: float) -> None:
            bars.update(bar[what], completed=share)

        past = demo.write_history(stage.settings, progress, members)
        workflows = demo.rebuild_workflows(stage.settings, progress)
    if past.refused:
        raise demo.DemoFailed(f"The rules refused what the invented people did: {', '.join(past.refused[:3])}")
    _dim(f"{members} members, {past.facts} facts of {demo.HISTORY_DAYS} days; {workflows} workflows rebuilt from the log")
    return past


def _ready(stage: Stage, ended: int | None) -> bool:
    if ended is not None:
        raise demo.DemoFailed(f"The programme ended at once with status {ended}; its words are in {demo.words_of(stage)}")
    try:
        with urlopen(f"{stage.api}/readyz", timeout=READY_WITHIN_SECONDS) as answer:
            return int(answer.status) == HTTPStatus.OK
    except (OSError, HTTPException):
        return False


def _stays_up(stage: Stage) -> None:
    host, port = stage.hl7
    _heading("The programme stays up")
    _line(f"API            {stage.api}/v1")
    _line(f"Documentation  {stage.api}/v1/docs")
    _line(f"HL7 listener   mllp://{host}:{port}")
    if stage.web is not None:
        _line(f"Temporal web   {stage.web.url}")
    _line("\nFour commands to try next, in another terminal:\n")
    _line("  .venv/bin/throughline --demo worklist")
    _line("  .venv/bin/throughline --demo follow-ups")
    _line("  .venv/bin/throughline demo advance 3d")
    _line("  .venv/bin/throughline --demo deadlines --verdict missed")
    _line("\nCtrl-C stops everything.")


def _heading(text: str) -> None:
    f.out.print(Text(f"\n━━ {text}", style="bold"))


def _line(text: str) -> None:
    f.out.print(Text.from_ansi(text))


def _dim(text: str) -> None:
    f.err.print(text, style="dim", markup=False)

"""`audit …`: recompute every hash chain of the log; begin a new life of it after its database was put back from a copy."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from eventlog import database
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.cli.people import stream_of
from workers.heartbeat import SILENCE_SECONDS_MAX, silence_seconds

FOLLOWERS = ("router", "worker", "projector")
"""Whoever keeps a position of the log: a new life under their feet would stop them in the middle."""

app = typer.Typer(help="Proof that nothing in the log was changed.", no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def top() -> None:
    """Proof that nothing in the log was changed."""


@app.command("verify")
def verify(stream: Annotated[str | None, typer.Argument(help="Only this stream.")] = None, json: Json = False) -> None:
    """Recompute every hash chain and name the first bad event of each broken stream. Needs no key.

    Example:

        throughline audit verify
    """
    with f.opened() as system:
        only = None if stream is None else stream_of(system, stream)
        checked = 0

        with f.progress("Events checked", quiet=json) as bar:

            def told(done: int, of: int) -> None:
                nonlocal checked
                checked = done
                bar(done, of)

            bad = sorted(system.log.verify(only, progress=told), key=lambda event: event.position)
    if json:
        f.as_json({"checked": checked, "sound": not bad, "bad": bad})
    elif bad:
        first = bad[0]
        f.out.print(
            Text.assemble(
                ("✗ ", "bold red"),
                f"The first bad event is {first.name}, version {first.version} of {first.stream}, position {first.position}: ",
                f"{first.reason}.",
            )
        )
        for event in bad[1:]:
            f.out.print(f"  and {event.stream} from version {event.version} (position {event.position}): {event.reason}")
    else:
        f.out.print(Text.assemble(("✓ ", "green"), f"{checked} events, every hash follows from what is stored."))
    if bad:
        raise typer.Exit(f.REFUSED)


@app.command("restored")
def restored(
    yes: Annotated[bool, typer.Option("--yes", help="Do it: the database was put back from a copy.")] = False, json: Json = False
) -> None:
    """Say that the log's database was put back from a copy. Router and workers then refuse to run until a rebuild.

    A dump that was read in, or a server recovered to a point in time, is noticed without this; a copy of stopped files is not.
    Stop everything first, and then give `throughline workflows rebuild`: positions went backwards, and workflows know the old ones.

    Example:

        throughline audit restored --yes
    """
    settings = f.asked.load()
    awake = [n for n in FOLLOWERS if (s := silence_seconds(settings.throughline_home, n)) is not None and s <= SILENCE_SECONDS_MAX]
    if awake:
        raise Stop(
            f"Still at work on this machine, or was a minute ago: {', '.join(awake)}.", code="still_running",
            remedy="stop it, wait a minute, and give the command again",
        )  # fmt: skip
    if not yes:
        raise Stop(
            "The log would begin a new life, and every open workflow would have to be built anew.", field="yes",
            remedy="where the database was put back from a copy, say so with --yes", code="not_confirmed",
        )  # fmt: skip
    with f.ground(settings) as found:
        assert found.database_url
        life = database.new_incarnation(found.database_url)
    if json:
        f.as_json({"incarnation": life.id, "since": life.created_at})
    else:
        f.out.print(f"The log's new life is {life.id}. Now run `throughline workflows rebuild`, then `throughline up`.")

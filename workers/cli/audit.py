"""`audit verify`: recompute every hash chain of the log."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from workers.cli import frame as f
from workers.cli.frame import Json
from workers.cli.people import stream_of

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

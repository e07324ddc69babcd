"""`projections …`: how far the read models are, what is parked, and building one anew beside the one that is shown."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from projections.runner import Projector
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.cli.people import actor
from workers.cli.recording import As
from workers.services import projector_of

app = typer.Typer(help="The read models: how far they are, what is parked.", no_args_is_help=True, rich_markup_mode="rich")

Name = Annotated[str, typer.Argument(help="A read model; see `throughline projections list`.")]


@app.command("list")
def list_models(json: Json = False) -> None:
    """Every read model: live or behind, by how much, what is parked, and why one has stopped.

    Example:

        throughline projections list
    """
    with f.opened() as system:
        found = projector_of(system).status()
        if json:
            f.as_json(found)
            return
        rows = [
            (
                m.name,
                f.coloured(m.state.value),
                m.position,
                m.lag,
                Text(str(m.parked), "bold red" if m.parked else "dim"),
                m.discarded,
                f"{m.building.position} of {m.position}" if m.building else "",
                m.stopped_because,
                m.moved_at,
            )
            for m in found
        ]
        columns = ("read model", "state", "position", "behind", "parked", "discarded", "rebuilding", "stopped because", "moved")
        f.table("Read models", columns, rows, empty="None was ever built; `throughline up` builds them.")


@app.command("run")
def run(json: Json = False) -> None:
    """Bring every read model up to the log's end, once.

    Example:

        throughline projections run
    """
    with f.opened() as system:
        folded = projector_of(system).run_until_caught_up()
        if json:
            f.as_json({"folded": folded})
        else:
            f.out.print(f"{folded} facts folded; every read model is at the log's end.")


@app.command("rebuild")
def rebuild(name: Name, json: Json = False) -> None:
    """Build a read model anew beside the one that is shown, then show the new one. Readers notice nothing.

    Example:

        throughline projections rebuild timeline
    """
    with f.opened() as system, f.progress(f"Rebuilding {name}", quiet=json) as bar:
        done = _known(projector_of(system), name).rebuild(name, progress=bar)
    if json:
        f.as_json(done)
    else:
        f.out.print(f"{name} was built anew from {done.facts} facts, up to position {done.position}, and is shown.")


@app.command("parked")
def parked(name: Annotated[str | None, typer.Argument(help="Only of this read model.")] = None, json: Json = False) -> None:
    """The facts that a read model could not take, and those that wait behind them.

    Example:

        throughline projections parked timeline
    """
    with f.opened() as system:
        projector = projector_of(system)
        names = [name] if name else [m.name for m in projector.status()]
        found = [(n, p) for n in names for p in _known(projector, n).parked(n)]
        if json:
            f.as_json([{"read_model": n, "parked": p} for n, p in found])
            return
        rows = [(n, p.key, p.position, p.fact, p.reason or "waits behind another", p.attempts, p.parked_at) for n, p in found]
        f.table("Parked", ("read model", "row", "position", "fact", "why", "tries", "since"), rows, empty="Nothing is parked.")


@app.command("retry")
def retry(name: Name, key: Annotated[str | None, typer.Option(help="Only this row.")] = None, json: Json = False) -> None:
    """Fold what is parked once more, in order: after the program was mended.

    Example:

        throughline projections retry timeline
    """
    with f.opened() as system:
        done = _known(projector_of(system), name).retry_parked(name, key=key)
        if json:
            f.as_json(done)
        else:
            f.out.print(f"{done.folded} facts folded, {done.waiting} still wait.")


@app.command("discard")
def discard(
    name: Name,
    key: Annotated[str, typer.Option(help="The row.")],
    position: Annotated[int, typer.Option(help="The fact's position in the log.")],
    because: Annotated[str, typer.Option(help="Why it may be left out of this row.")],
    by: As = None,
    json: Json = False,
) -> None:
    """Leave one parked fact out of one row, with a reason that is kept. The log keeps the fact.

    Example:

        throughline projections discard timeline --key member-3e1d7c5a --position 4711 --because "double of 4710"
    """
    with f.opened() as system:
        projector = _known(projector_of(system), name)
        try:
            done = projector.discard_parked(name, key=key, position=position, by=actor(system, by), because=because)
        except KeyError:
            raise Stop(
                "Nothing is parked there.", field="position", remedy="see `throughline projections parked`", code="not_parked"
            ) from None
        if json:
            f.as_json(done)
        else:
            f.out.print(f"Left out; {done.folded} facts behind it were folded, {done.waiting} still wait.")


def _known(projector: Projector, name: str) -> Projector:
    if name not in projector.models:
        raise Stop(
            f"There is no read model {name}.",
            field="name",
            remedy=f"one of {', '.join(sorted(projector.models))}",
            code="unknown_model",
        )
    return projector

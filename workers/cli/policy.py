"""`policy …`: the rules of each health plan, as files that are adopted by an event."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.text import Text

from api.commands import plan_of
from domain.adoption.decider import AdoptPolicy
from domain.adoption.facts import PolicyAdopted
from domain.policy import PolicyRefused, read_policy
from eventlog.opening import PolicyShelf
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.cli.people import actor
from workers.cli.recording import As
from workers.composition import System
from workers.services import projector_of, queries_of

app = typer.Typer(help="The rules of each health plan: check, adopt, compare.", no_args_is_help=True, rich_markup_mode="rich")

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A policy file (TOML).")]
Version = Annotated[str, typer.Argument(help="An adopted version such as default@2026.1.")]


@app.command("list")
def list_policies(plan: Annotated[str | None, typer.Option(help="Only of this health plan.")] = None, json: Json = False) -> None:
    """Every version that was adopted, when, by whom, and from which day it holds.

    Example:

        throughline policy list
    """
    with f.opened() as system:
        projector_of(system).run_until_caught_up("policies")
        found = queries_of(system).policies(plan=plan)
        if json:
            f.as_json(found)
            return
        book = PolicyShelf(system.log)()
        in_force = {book.in_force(p.plan, system.clock.now()).id for p in found}
        rows = [
            (
                f"{p.plan}@{p.version}",
                p.effective_on,
                "in force" if f"{p.plan}@{p.version}" in in_force else "",
                p.adopted_at,
                p.adopted_by,
                p.sha256[:12],
            )
            for p in found
        ]
        columns = ("policy", "from", "", "adopted", "by", "sha256")
        f.table("Policies", columns, rows, empty="None was adopted; `throughline up` adopts those of policies/.")


@app.command("show")
def show(version: Version, json: Json = False) -> None:
    """The bytes that were adopted.

    Example:

        throughline policy show default@2026.1
    """
    with f.opened() as system:
        text = _adopted(system, version)
    if json:
        f.as_json({"policy": version, "text": text})
    else:
        f.out.print(text, markup=False, end="")


@app.command("check")
def check(file: File, json: Json = False) -> None:
    """Read a policy file and name every mistake with its line. Nothing is adopted.

    Example:

        throughline policy check policies/default.toml
    """
    try:
        policy = read_policy(_text(file))
    except PolicyRefused as refused:
        if json:
            f.as_json({"faults": [{"line": x.line, "field": x.field, "reason": x.reason} for x in refused.faults]})
        else:
            for fault in refused.faults:
                f.out.print(Text.assemble(f"{file}:{fault.line}: ", (fault.field, "bold"), f": {fault.reason}"))
        raise typer.Exit(f.REFUSED) from None
    if json:
        f.as_json({"policy": policy.id, "effective_on": policy.effective_on, "faults": []})
    else:
        f.out.print(f"{policy.id} is sound; it would hold from {policy.effective_on} on.")


@app.command("adopt")
def adopt(file: File, by: As = None, json: Json = False) -> None:
    """Put a version into force: the file's bytes become an event. A version once adopted never changes.

    Example:

        throughline policy adopt policies/default.toml --as rosa@example.org
    """
    text = _text(file)
    plan = plan_of(text)
    if plan is None:
        raise Stop("names no plan.", field=str(file), remedy='begin with plan = "…"')
    with f.opened() as system:
        command = AdoptPolicy(
            stream=f"policy-{plan}", by=actor(system, by), text=text, sha256=hashlib.sha256(text.encode()).hexdigest()
        )
        done = f.accepted(system.gateway.handle(command, command_id=uuid4()))
        f.show_accepted(system, done, json=json)


@app.command("diff")
def diff(version: Version, other: Annotated[str, typer.Argument(help="Another version, or a file.")], json: Json = False) -> None:
    """What differs between two versions, or a version and a file.

    Example:

        throughline policy diff default@2026.1 policies/default.toml
    """
    with f.opened() as system:
        before = _adopted(system, version)
        after = _text(Path(other)) if Path(other).is_file() else _adopted(system, other)
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), version, other, lineterm="", n=2))
    if json:
        f.as_json({"before": version, "after": other, "differs": bool(lines), "lines": lines})
        return
    for line in lines:
        f.out.print(Text(line, "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"))
    if not lines:
        f.out.print("They are the same.")


def _adopted(system: System, version: str) -> str:
    plan, _, wanted = version.partition("@")
    for recorded in system.log.read(f"policy-{plan}"):
        if isinstance(recorded.fact, PolicyAdopted) and recorded.fact.version == wanted:
            return recorded.fact.text
    raise Stop(f"{version} was never adopted.", field="version", remedy="see `throughline policy list`", code="unknown_policy")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Stop("is not UTF-8.", field=str(file), remedy="save it as UTF-8") from None

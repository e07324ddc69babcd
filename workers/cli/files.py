"""`files …`: the files of health plans. Try one, load it, see what became of each row, confirm or reject what stopped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from domain.policy import DEFAULT_PLAN
from intake.files.profiles import FileKind
from intake.files.reports import Outcome, ReportLine, as_csv
from intake.files.roster import OTHERS_SINCE, MemberFiles, Preview, Receipt, plan_of
from projections.words import plain, several
from workers.cli import frame as f
from workers.cli.frame import Json, Limit, Stop
from workers.cli.people import actor
from workers.cli.recording import As
from workers.services import door_of

app = typer.Typer(help="The files of health plans: members and authorisations.", no_args_is_help=True, rich_markup_mode="rich")

SHOWN_MAX = 50
"""Lines of a report on the terminal; the rest is in `files report`."""
REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Kind(StrEnum):
    members = "members"
    authorisations = "authorisations"


FileId = Annotated[UUID, typer.Argument(help="A file's id; see `throughline files list`.")]
TheFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV or XLSX file.")]
ThePlan = Annotated[str | None, typer.Option("--plan", help="The health plan; left out: the one whose profile names the file.")]
What = Annotated[Kind | None, typer.Option("--what", help="What it lists; left out: as the profile says, else members.")]
Full = Annotated[
    bool | None,
    typer.Option("--full-roster/--changes", help="It names every member, or only some; left out: as the plan's profile says."),
]
Why = Annotated[str, typer.Option("--reason", help="Why, as a code in small letters, such as plan_confirmed_by_phone.")]


@app.command("load")
def load(
    file: TheFile,
    plan: ThePlan = None,
    what: What = None,
    full_roster: Full = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would become of it; nothing is written.")] = False,
    json: Json = False,
) -> None:
    """Load a plan's file. Rows that cannot be read are named; the others are applied. The same file again changes nothing.

    Exit status 1 where the file stopped, or where it has rows and every one of them was rejected.

    Examples:

        throughline files load CC_MIF_202611.xlsx --dry-run

        throughline files load roster.csv --plan valley-health --full-roster

        throughline files load decisions.csv --plan valley-health --what authorisations
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            files, raw = door.files, file.read_bytes()
            whose, kind = chosen(files, file.name, plan, what)
            if dry_run:
                previewed = files.preview(raw, plan=whose, kind=kind, file_name=file.name, full_roster=full_roster)
                show_preview(previewed, json=json)
                return
            with f.progress("Rows", quiet=json) as bar:
                receipt = files.import_file(
                    raw, plan=whose, kind=kind, file_name=file.name, full_roster=full_roster, peer="command-line", progress=bar
                )
            show_receipt(files, receipt, json=json)
        finally:
            door.close()


@app.command("list")
def list_files(
    plan: Annotated[str, typer.Option(help="Only of this plan.")] = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait for somebody's word.")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """The files themselves, the newest first.

    Example:

        throughline files list --waiting
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            found = door.files.files(plan=plan, waiting=waiting, limit=limit)
        finally:
            door.close()
        if json:
            f.as_json([{"file_id": r.inbox_id, "plan": plan_of(r.source_id), "kind": r.kind, "received_at": r.received_at,
                        "status": r.status, "reason": r.reason, "error": r.error, "flags": r.flags} for r in found])  # fmt: skip
            return
        rows = [
            (
                r.inbox_id,
                plan_of(r.source_id),
                r.kind,
                r.received_at,
                f.coloured(r.status.value),
                ": ".join(part for part in (plain(r.reason), r.error) if part),
                r.flags,
            )
            for r in found
        ]
        f.table("Files", ("id", "plan", "kind", "received", "status", "reason", "flags"), rows, empty="No file fits.")


@app.command("show")
def show(file_id: FileId, json: Json = False) -> None:
    """What became of a file, as its rows stand now.

    Example:

        throughline files show 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            show_receipt(door.files, door.files.receipt(file_id), json=json, stops=False)
        finally:
            door.close()


@app.command("report")
def report(
    file_id: FileId,
    to: Annotated[Path | None, typer.Option("--to", dir_okay=False, writable=True, help="Write it there as CSV.")] = None,
    remarkable: Annotated[bool, typer.Option("--remarkable", help="Only rows of which there is something to know.")] = False,
    json: Json = False,
) -> None:
    """What became of each row: row as the sheet numbers it, outcome, field, reason, remedy. It names no person.

    Example:

        throughline files report 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --to report.csv
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            lines = door.files.report(file_id, only_remarkable=remarkable)
            if to is not None:
                with to.open("w", encoding="utf-8", newline="") as opened:
                    opened.writelines(as_csv(lines))
                f.done(f"Written to {to}.", json=json, file_id=file_id, to=to)
            elif json:
                f.as_json(list(lines))
            else:
                _table(lines, limit=None)
        finally:
            door.close()


@app.command("confirm")
def confirm(file_id: FileId, reason: Why, by: As = None, json: Json = False) -> None:
    """Say that a file which stopped is right: it goes on.

    Example:

        throughline files confirm 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --reason plan_confirmed_by_phone --as rosa@example.org
    """
    _code(reason)
    with f.opened() as system:
        door = door_of(system)
        try:
            with f.progress("Rows", quiet=json) as bar:
                receipt = door.files.confirm(file_id, reason=reason, by=actor(system, by), progress=bar)
            show_receipt(door.files, receipt, json=json)
        finally:
            door.close()


@app.command("reject")
def reject(file_id: FileId, reason: Why, by: As = None, json: Json = False) -> None:
    """Say that a file which stopped is wrong: nothing follows from it. It stays in the inbox.

    Example:

        throughline files reject 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --reason plan_sends_it_again --as rosa@example.org
    """
    _code(reason)
    with f.opened() as system:
        door = door_of(system)
        try:
            door.files.reject(file_id, reason=reason, by=actor(system, by))
        finally:
            door.close()
        f.done("Set aside; nothing follows from it.", json=json, file_id=file_id, reason=reason)


@app.command("new-contact-points")
def new_contact_points(
    plan: Annotated[str, typer.Option(help="The health plan that gets it.")],
    to: Annotated[Path, typer.Option("--to", dir_okay=False, writable=True, help="Write it there as CSV.")],
    json: Json = False,
) -> None:
    """Write the phone numbers and addresses that a plan does not have, in columns of the return file. It names members.

    Example:

        throughline files new-contact-points --plan valley-health --to return.csv
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            with to.open("w", encoding="utf-8", newline="") as opened:
                opened.writelines(door.files.new_points_csv(plan))
        finally:
            door.close()
        f.done(f"Written to {to}.", json=json, plan=plan, to=to)


@app.command("profiles")
def profiles(json: Json = False) -> None:
    """The profiles of plans' files: how each plan writes them. A faulty one is told with its line. The canonical one is the default
    plan's, and that of every plan without one of its own.

    Example:

        throughline files profiles
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            own, canonical = door.files.profiles.all(), (door.files.profiles.of(DEFAULT_PLAN, kind) for kind in FileKind)
            found = (*(p for p in canonical if p not in own), *own)
        finally:
            door.close()
        if json:
            f.as_json([{"id": p.id, "plan": p.plan, "kind": p.kind, "name": p.name, "version": p.version, "files": p.files,
                        "full_roster": p.full_roster, "sheets": p.sheets, "dates": p.dates,
                        "required": p.required} for p in found])  # fmt: skip
            return
        rows = [
            (
                p.id,
                p.plan,
                p.kind.value,
                p.name,
                p.version,
                " ".join(p.required),
                " ".join(p.files),
                "full roster" if p.full_roster else "changes",
                " ".join(p.dates),
            )
            for p in found
        ]
        columns = ("profile", "plan", "lists", "name", "version", "needs", "files", "covers", "dates")
        f.table("Profiles", columns, rows, empty="No plan has a profile of its own.")


# --- what is shown ---------------------------------------------------------------------------------------------------------------


def chosen(files: MemberFiles, name: str, plan: str | None, what: Kind | None) -> tuple[str, FileKind]:
    """Of which plan a file is, and what it lists: as was said, else as the profile says that is named for the file."""
    if plan is None:
        profile = files.profiles.named_for(name)
        return profile.plan, FileKind(what) if what else profile.kind
    if what is not None:
        return plan, FileKind(what)
    kinds = {p.kind for p in files.profiles.all() if p.plan == plan and p.named_for(name)}
    return plan, kinds.pop() if len(kinds) == 1 else FileKind.MEMBERS


def show_receipt(files: MemberFiles, receipt: Receipt, *, json: bool, stops: bool = True) -> None:
    """A receipt with what is remarkable of its rows. `stops`: raises Stop where the file waits for somebody's word, and Exit
    where not one row was taken."""
    if json:
        f.as_json(receipt)
    else:
        if receipt.duplicate:
            f.out.print("This file was here before (duplicate file); nothing was done.")
            if OTHERS_SINCE in receipt.flags:
                f.out.print("The plan has sent others since. If it means this one anew, ask for it with a new date in it.")
        f.out.print(Text(f"File {receipt.file_id}" + (f", profile {receipt.profile}" if receipt.profile else ""), "dim"))
        if receipt.refused:
            f.out.print(Text(f"It could not be read: {receipt.refused}."))
            return
        f.out.print(
            f"{several(receipt.rows, 'row')}: {receipt.accepted} accepted, {receipt.unchanged} unchanged,"
            f" {receipt.rejected} rejected, {receipt.waiting} waiting."
        )
        if not receipt.duplicate and not receipt.stopped:
            _table(files.report(receipt.file_id, only_remarkable=True), limit=SHOWN_MAX)
        if receipt.missing:
            f.out.print(
                f"{len(receipt.missing)} members listed before are missing from this full roster; nobody is ended by that:"
                " ask the plan, then `throughline record settle-roster-absence`."
            )
    if receipt.stopped and stops:
        raise Stop(
            receipt.stopped, field="file", code="file_waits",
            remedy=f"`throughline files confirm {receipt.file_id} --reason …`, or `files reject`",
        )  # fmt: skip
    if stops and not receipt.duplicate and receipt.rows and receipt.rejected == receipt.rows:
        raise typer.Exit(f.REFUSED)


def show_preview(preview: Preview, *, json: bool) -> None:
    if json:
        f.as_json(preview)
        return
    counts = preview.totals
    f.out.print(Text(f"Tried with profile {preview.profile}; nothing was written.", "bold"))
    told = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)
    f.out.print(f"{several(sum(counts.values()), 'row')} would be: {told}.")
    if preview.unknown_headers:
        f.out.print(f"Columns that mean nothing to us: {', '.join(preview.unknown_headers)}.")
    _table((line for line in preview.lines if line.reason), limit=SHOWN_MAX)
    if preview.missing:
        asked = "; it would stop and ask" if preview.stops else ""
        f.out.print(f"{len(preview.missing)} members listed before would be missing{asked}.")


def _table(lines: Iterable[ReportLine], *, limit: int | None) -> None:
    rows = [(line.row, f.coloured(line.outcome.value), line.field, line.reason, line.remedy) for line in lines]
    if rows:
        shown = rows if limit is None else rows[:limit]
        note = "" if len(shown) == len(rows) else f"{len(rows) - len(shown)} more; `throughline files report` has them all"
        f.table("Rows", ("row", "outcome", "field", "what is to be known", "what to do"), shown, empty="", note=note)


def _code(reason: str) -> None:
    if not REASON.fullmatch(reason):
        raise Stop(
            "is no code.", field="--reason", remedy="write small letters and underlines, such as plan_confirmed", status=f.USAGE
        )

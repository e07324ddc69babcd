"""`inbox …`: every message at the front door, what became of it, its bytes and the facts that it caused."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text
from rich.tree import Tree

from intake.inbox import Shown, Status
from projections.words import plain
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Stop
from workers.cli.people import actor, stream_of
from workers.cli.recording import As
from workers.services import door_of, queries_of

app = typer.Typer(help="The front door: every message, and what became of it.", no_args_is_help=True, rich_markup_mode="rich")

InboxId = Annotated[UUID, typer.Argument(help="A message's id; see `throughline inbox list`.")]


class Filter(StrEnum):
    RECEIVED = "received"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    UNMATCHED = "unmatched"
    WAITING = "waiting"
    IGNORED = "ignored"
    DEAD = "dead"


@app.command("list")
def list_messages(
    status: Annotated[Filter | None, typer.Option(help="Only in this status.")] = None,
    source: Annotated[str | None, typer.Option(help="Only from this source.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only for this reason.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Messages, the newest first, with how many stand in each status.

    Example:

        throughline inbox list --status unmatched
    """
    with f.opened() as system:
        queries, now = queries_of(system), system.clock.now()
        page = queries.inbox(
            now=now, status=status.value if status else None, source=source, reason=reason, limit=limit, cursor=cursor
        )
        counts = queries.inbox_counts(now=now)
        if json:
            f.as_json({"counts": counts, "items": page.items, "next_cursor": page.next_cursor})
            return
        f.out.print(Text("  ".join(f"{c.status} {c.messages}" for c in counts), "dim"))
        rows = [
            (
                m.inbox_id,
                m.received_at,
                m.source,
                m.kind,
                f.coloured(m.status),
                plain(m.reason),
                m.error,
                m.flags,
                f.short(m.member) if m.member else "",
                m.repeats or "",
            )
            for m in page.items
        ]
        columns = ("id", "received", "source", "kind", "status", "reason", "error", "flags", "member", "repeats")
        note = f"more with --cursor {page.next_cursor}" if page.next_cursor else ""
        f.table("Inbox", columns, rows, empty="No message fits.", note=note)


@app.command("show")
def show(
    inbox_id: InboxId,
    raw: Annotated[bool, typer.Option("--raw/--no-raw", help="Show the bytes as they were received.")] = True,
    json: Json = False,
) -> None:
    """A message: its bytes, how it came to its state, and the facts that it caused.

    Example:

        throughline inbox show 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            shown = door.inbox.show(inbox_id)
        finally:
            door.close()
        text = (shown.raw.decode("utf-8", "replace").replace("\r", "\n") if shown.raw else None) if raw else None
        if json:
            f.as_json({"message": shown.row, "raw": text, "caused": shown.caused, "steps": shown.transitions})
            return
        f.tree(_tree(shown))
        if raw:
            f.out.print(Text("— as received —", "dim"))
            f.out.print(text if text is not None else "(the key of that month was destroyed)", markup=False)


@app.command("resolve")
def resolve(
    inbox_id: InboxId,
    member: Annotated[str, typer.Option("--member", help="Whose message it is: an id or a CIN.")],
    by: As = None,
) -> None:
    """Say whose message an unmatched one is. It is then applied to that member, with your name on it.

    Example:

        throughline inbox resolve 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --member 91234567A --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            whose = stream_of(system, member, kind="member")
            door.inbox.resolve(inbox_id, whose, by=actor(system, by), now=system.clock.now())
        finally:
            door.close()
        f.out.print(f"It is {whose}'s; the intake worker applies it.")


@app.command("release")
def release(inbox_id: InboxId, by: As = None) -> None:
    """Let a message that waits be applied as it is: you have looked at it.

    Example:

        throughline inbox release 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            door.inbox.release(inbox_id, by=actor(system, by), now=system.clock.now())
        finally:
            door.close()
        f.out.print("The intake worker applies it.")


@app.command("replay")
def replay(
    inbox_id: Annotated[UUID | None, typer.Argument(help="A message's id.")] = None,
    status: Annotated[Filter | None, typer.Option(help="All messages in this status.")] = None,
    source: Annotated[str | None, typer.Option(help="With --status: only from this source.")] = None,
    by: As = None,
) -> None:
    """Take a message, or all of a status, up again with the present program. What it has caused is not caused twice.

    Examples:

        throughline inbox replay 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90

        throughline inbox replay --status dead --source st-brendan
    """
    if (inbox_id is None) == (status is None) or status is Filter.RECEIVED:
        raise Stop("Say which message, or which status.", field="inbox_id", remedy="give an id, or --status dead", status=f.USAGE)
    with f.opened() as system:
        door = door_of(system)
        who, now = actor(system, by), system.clock.now()
        try:
            if inbox_id is not None:
                door.inbox.replay(inbox_id, by=who, now=now)
                count = 1
            else:
                assert status is not None
                count = door.inbox.replay_many(by=who, now=now, status=Status(status.value), source_id=source)
        finally:
            door.close()
        f.out.print(f"{count} taken up again.")


@app.command("discard")
def discard(
    inbox_id: InboxId,
    reason: Annotated[str, typer.Option(help="Why, as a code in small letters, such as not_our_member.")],
    by: As = None,
) -> None:
    """Say that nothing is to follow from a message. It stays in the inbox.

    Example:

        throughline inbox discard 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --reason not_our_member --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            door.inbox.discard(inbox_id, reason=reason, by=actor(system, by), now=system.clock.now())
        finally:
            door.close()
        f.out.print("Set aside; nothing follows from it.")


def _tree(shown: Shown) -> Tree:
    row = shown.row
    tree = Tree(Text.assemble((str(row.inbox_id), "bold"), "  ", f.coloured(row.status.value), f"  {plain(row.reason)}"))
    tree.add(
        f"{row.kind} from {row.source_id} over {row.transport}, control id {row.control_id or 'none'}, {f.local(row.received_at)}"
    )
    if row.member or row.proposed:
        tree.add(f"member {row.member or 'unknown'} by {row.evidence or 'nothing'}; proposed {', '.join(row.proposed) or 'nobody'}")
    if row.flags:
        tree.add(f"flags: {', '.join(row.flags)}")
    caused = tree.add("caused" if shown.caused else "caused nothing")
    for fact in shown.caused:
        caused.add(f"{fact.fact} · {fact.stream} · position {fact.position}")
    steps = tree.add("how it came to this")
    for step in shown.transitions:
        steps.add(f"{f.local(step.at)}  {step.status} {plain(step.reason)} {step.error} by {step.by}")
    return tree

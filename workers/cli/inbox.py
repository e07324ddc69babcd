"""`inbox …`: every message at the front door, what became of it, its bytes and the facts that it caused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text
from rich.tree import Tree

from intake.operating.replays import DISCARDABLE, Rehearsed, Selection, discard_chosen, replay_chosen
from intake.senders.notices import UnknownNotice
from intake.senders.sources import load_sources
from intake.store.inbox import Shown, Status
from projections.words import plain, several
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Stop
from workers.cli.looking import day
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
    flag: Annotated[str | None, typer.Option(help="Only with this flag, such as facility_unknown.")] = None,
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
            now=now, status=status.value if status else None, source=source, reason=reason, flag=flag, limit=limit, cursor=cursor
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
    json: Json = False,
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
        f.done(f"It is {whose}'s; the intake worker applies it.", json=json, inbox_id=inbox_id, member=whose)


@app.command("release")
def release(inbox_id: InboxId, by: As = None, json: Json = False) -> None:
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
        f.done("The intake worker applies it.", json=json, inbox_id=inbox_id)


@app.command("replay")
def replay(
    inbox_id: Annotated[UUID | None, typer.Argument(help="A message's id; see `throughline inbox list`.")] = None,
    status: Annotated[list[Filter] | None, typer.Option(help="All in this status; may be given several times.")] = None,
    source: Annotated[str | None, typer.Option(help="All from this source.")] = None,
    trigger: Annotated[str | None, typer.Option(help="All of this trigger, such as A03.")] = None,
    reason: Annotated[str | None, typer.Option(help="All for this reason.")] = None,
    flag: Annotated[str | None, typer.Option(help="All with this flag, such as facility_unknown.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Received on this day (or instant) or later.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Received before the end of this day, or this instant.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would become of each.")] = False,
    by: As = None,
    json: Json = False,
) -> None:
    """Take a message, or all that fit, up again with the present program and registry. What it has caused is not caused twice.

    Examples:

        throughline inbox replay 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --dry-run

        throughline inbox replay --status dead --source st-brendan --trigger A03 --from 2026-11-01
    """
    selection = Selection(
        statuses=tuple(Status(s.value) for s in status or ()), source=source, trigger=trigger, reason=reason, flag=flag,
        received_from=day(since, "--from"), received_until=day(until, "--until"),
    )  # fmt: skip
    if (inbox_id is None) == selection.empty or Status.RECEIVED in selection.statuses:
        raise Stop("Say which message, or which ones.", field="inbox_id", remedy="give an id, or --status dead", status=f.USAGE)
    with f.opened() as system:
        door, now = door_of(system), system.clock.now()
        try:
            if dry_run:
                told = (door.rehearsal.of(inbox_id, now),) if inbox_id else tuple(door.rehearsal.all_of(selection, now))
                _show_rehearsed(told, json=json)
                return
            who = actor(system, by)
            if inbox_id is not None:
                door.inbox.replay(inbox_id, by=who, now=now)
                count = 1
            else:
                count = replay_chosen(door.inbox, selection, by=who, now=now)
        finally:
            door.close()
        if json:
            f.as_json({"taken_up": count})
        else:
            f.out.print(f"{count} taken up again.")


def _show_rehearsed(told: Sequence[Rehearsed], *, json: bool) -> None:
    if json:
        f.as_json([{**asdict(one), "differs": one.differs} for one in told])
        return
    for one in told:
        before, now = (f"{s.status} {plain(s.reason)}".strip() for s in (one.before, one.now))
        tree = Tree(Text.assemble((str(one.inbox_id), "bold"), f"  {one.kind} from {one.source}  ", before, " → ", (now, "bold")))
        for compared in one.compared:
            if compared.differs:
                tree.add(
                    Text.assemble(f"{compared.field}: ", (compared.before or "—", "red"), " → ", (compared.now or "—", "green"))
                )
        for added in one.added:
            tree.add(Text(f"would add {added.fact} to {added.stream}", "green"))
        if not one.differs:
            tree.add(Text("no difference", "dim"))
        f.tree(tree)
    f.out.print(f"{len(told)} rehearsed, {sum(one.differs for one in told)} would differ; nothing was changed.")


@app.command("feeds")
def feeds(json: Json = False) -> None:
    """The senders: when each was last heard of, and what somebody has to look at.

    Example:

        throughline inbox feeds
    """
    with f.opened() as system:
        door, now = door_of(system), system.clock.now()
        try:
            heard, notices = door.feeds.feeds(now), door.notices.open()
        finally:
            door.close()
        if json:
            f.as_json({"feeds": [{**asdict(feed), "silent": feed.silent} for feed in heard], "notices": notices})
            return
        rows = [
            (
                feed.source,
                feed.heard_at or "never",
                f"every {feed.expected_every // timedelta(minutes=1)} minutes" if feed.expected_every else "nothing is expected",
                Text("silent", "bold red") if feed.silent else Text("heard", "green") if feed.heard_at else "",
            )
            for feed in heard
        ]
        f.table("Feeds", ("source", "last heard", "expected", ""), rows, empty="The registry has no source.")
        noted = [(n.notice_id, n.since, n.said, n.times, n.remedy) for n in notices]
        f.table("To look at", ("number", "since", "what", "times", "what to do"), noted, empty="Nothing to look at.")


@app.command("end-notice")
def end_notice(
    number: Annotated[int, typer.Argument(help="Its number; see `throughline inbox feeds`.")], by: As = None, json: Json = False
) -> None:
    """Say that somebody has seen to a notice, such as missed events that were fetched.

    Example:

        throughline inbox end-notice 12 --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            door.notices.end_one(number, system.clock.now(), by=actor(system, by))
        except UnknownNotice as unknown:
            raise Stop(f"{unknown}.", field="number", remedy="see `throughline inbox feeds`", code="unknown_notice") from None
        finally:
            door.close()
        f.done("Ended.", json=json, notice_id=number)


@app.command("sources")
def sources(
    file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Another registry, to check it.")] = None,
    json: Json = False,
) -> None:
    """The registry of senders: how each is recognised, and what its messages mean. A fault is named with its line.

    Examples:

        throughline inbox sources

        throughline inbox sources --file new-sources.toml
    """
    rows = load_sources(file or f.asked.load().throughline_sources).rows
    if json:
        f.as_json([row.model_dump(mode="json") for row in rows])
        return
    for row in rows:
        tree = Tree(Text(row.name, "bold"))
        known_by = [several(len(row.certificate_sha256), "certificate")] if row.certificate_sha256 else []
        known_by += [f"the name {name} of its authority" for name in row.certificate_names]
        known_by += [f"address {address}" for address in row.addresses]
        known_by += [f"client {row.client_id} for {' '.join(row.scopes)}"] if row.client_id else []
        known = ", ".join(known_by) or "its token of `throughline token create`"
        tree.add(f"comes by {', '.join(row.transports)}; known by {known}")
        means = [f"zone {row.timezone}", *(["offsets ignored"] if row.ignore_offsets else [])]
        means += [f"charset {row.charset or 'as the message says'}", f"acknowledged {row.ack_mode.value}"]
        tree.add("; ".join([*means, "in production" if row.production else "a test source"]))
        may = [f"{row.messages_per_minute} messages a minute" if row.messages_per_minute else "any number of messages"]
        may += [f"{row.inquiries_per_hour} inquiries an hour" if row.inquiries_per_hour else "no inquiries"]
        may += ["may see whose message was applied"] if row.tells_membership else []
        may += [f"application acknowledgements to {row.application_acks_to}"] if row.application_acks_to else []
        tree.add("; ".join(may))
        for facility in row.facilities:
            known_as = f"facility {facility.id}: {facility.name}, also called {', '.join(facility.aliases) or 'nothing else'}"
            tree.add(f"{known_as}; zone {facility.timezone}" if facility.timezone else known_as)
        for what, said in (
            ("authorities", row.id_authorities), ("dispositions", row.disposition_aliases), ("classes", row.class_aliases),
        ):  # fmt: skip
            if said:
                tree.add(f"{what}: " + ", ".join(f"{a} = {b}" for a, b in said.items()))
        if row.expected_every_minutes:
            tree.add(
                f"expected every {row.expected_every_minutes} minutes, {row.expected_from:%H:%M} to {row.expected_until:%H:%M},"
                f" {' '.join(row.expected_on)}"
            )
        tree.add(f"a message that is nobody's waits {row.unmatched_days} days")
        f.tree(tree)


@app.command("discard")
def discard(
    reason: Annotated[str, typer.Option(help="Why, as a code in small letters, such as not_our_member.")],
    inbox_id: Annotated[UUID | None, typer.Argument(help="A message's id; see `throughline inbox list`.")] = None,
    status: Annotated[list[Filter] | None, typer.Option(help="All in this status; may be given several times.")] = None,
    source: Annotated[str | None, typer.Option(help="All from this source.")] = None,
    left_for: Annotated[str | None, typer.Option("--left-for", help="All that are there for this reason, such as not_hl7.")] = None,
    file: Annotated[
        UUID | None,
        typer.Option(help="All rows of this file, by its id (`throughline files list`); else no rows of files are meant."),
    ] = None,
    by: As = None,
    json: Json = False,
) -> None:
    """Say that nothing is to follow from a message, or from all open ones that fit. They stay in the inbox.

    Examples:

        throughline inbox discard 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --reason not_our_member --as rosa@example.org

        throughline inbox discard --status dead --source st-brendan --left-for not_hl7 --reason port_scanner

        throughline inbox discard --file 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 --status dead --reason told_the_plan
    """
    selection = Selection(
        statuses=tuple(Status(s.value) for s in status or ()), source=source, reason=left_for, file=file
    )  # fmt: skip
    if (inbox_id is None) == selection.empty or not set(selection.statuses) <= set(DISCARDABLE):
        raise Stop(
            "Say which message, or which open ones.", field="inbox_id", remedy="give an id, or --status dead", status=f.USAGE
        )
    with f.opened() as system:
        door, now = door_of(system), system.clock.now()
        try:
            who, count = actor(system, by), 1
            if inbox_id is not None:
                door.inbox.discard(inbox_id, reason=reason, by=who, now=now)
            else:
                count = discard_chosen(door.inbox, selection, reason=reason, by=who, now=now)
        finally:
            door.close()
    said = f"{count} set aside; nothing follows from {'it' if count == 1 else 'them'}."
    f.done(said, json=json, set_aside=count, reason=reason)


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

"""Looking: the worklist, deadlines, the transitions board, members, a member's timeline, history, and why something is owed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from api.looking_back import Explanation, MemberThen, Owed, explain, instant_of, member_then
from api.open_matters import Matter, MatterKind, counted, open_matters
from api.year import TierThen
from domain.calendar import start_of_day
from domain.catalog import PROCESSES
from domain.staff.decider import OFFICE_ZONE
from intake.senders.notices import Notices
from intake.senders.sources import SourcesInvalid
from projections.answers import Deadline, Page
from projections.words import listed, plain, promise, several, waited
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Names, Stop
from workers.cli.people import staff_of, stream_of
from workers.composition import System
from workers.services import door_of, projector_of, queries_of

PANEL = "Looking"
UNLED_COUNTED_MAX = 1_000
URGENT = (MatterKind.NOTICE, MatterKind.STALLED, MatterKind.DEAD_LETTER)
COUNTED = (MatterKind.NOTICE, MatterKind.DEAD_LETTER, MatterKind.FILE, MatterKind.DECISION, MatterKind.STRANGER)
"""Kinds whose names are nouns."""
NOBODY_CALLED: Mapping[str, str] = {}
"""Where no names are shown."""

Plan = Annotated[str | None, typer.Option(help="Only of this health plan.")]
CareManager = Annotated[str | None, typer.Option("--care-manager", help="Only theirs: a staff id or mail address.")]
Kind = Annotated[
    str | None, typer.Option(help=f"Only of this kind: {listed(PROCESSES)}.", callback=lambda kind: _of_a_process(kind))
]
Rule = Annotated[str | None, typer.Option(help="Only rules that begin so, such as initial_contact.")]
About = Annotated[str | None, typer.Option("--member", help="Only about this member: an id or a CIN.")]
DueAfter = Annotated[str | None, typer.Option("--due-after", help="Due on this day (or instant) or later.")]
DueBefore = Annotated[str | None, typer.Option("--due-before", help="Due before the end of this day (or before this instant).")]


class Verdict(StrEnum):
    OPEN = "open"
    MET = "met"
    MET_LATE = "met_late"
    MISSED = "missed"
    WITHDRAWN = "withdrawn"
    SUSPENDED = "suspended"
    INFEASIBLE = "infeasible"
    NOT_MISSED = "not_missed"


class Order(StrEnum):
    OCCURRED = "occurred"
    RECORDED = "recorded"


def worklist(
    plan: Plan = None,
    care_manager: CareManager = None,
    kind: Kind = None,
    rule: Rule = None,
    member: About = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")] = False,
    front_door: Annotated[
        bool | None,
        typer.Option("--front-door/--no-front-door", help="What the front door leaves for a person; unless narrowed: yes."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """What is owed: what, by when, why, whose. Sorted by the last moment at which it can still be done.

    Then what the front door leaves for a person: silent feeds, files that stopped, questions about who somebody is, people to
    refer, new episodes to decide on, dead letters; each with why, since when and what to do.

    Examples:

        throughline worklist

        throughline worklist --care-manager dana@example.org --due-before 2026-11-30

        throughline worklist --plan valley-health --front-door --json
    """
    narrowed = any((care_manager, kind, rule, member, due_after, due_before, overdue, cursor))
    with f.opened() as system:
        now = system.clock.now()
        matters = _matters(system, plan, names=names) if front_door or (front_door is None and not narrowed) else None
        page = queries_of(system).worklist(
            now=now, plan=plan, care_manager=staff_id(system, care_manager), kind=kind, rule=rule, member=member_id(system, member),
            due_after=day(due_after, "--due-after"), due_before=day(due_before, "--due-before"), overdue=overdue, limit=limit,
            cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            left = {} if matters is None else {"front_door": matters, "front_door_counts": counted(matters)}
            f.as_json({"items": page.items, "next_cursor": page.next_cursor, **left})
            return
        rows = [
            (
                Text(f.local(w.act_by, due=True), "bold red" if w.overdue else ""),
                f.coloured(w.state),
                _what(w.what, governing=w.governing, how=w.how),
                w.member_name or f.short(w.member),
                w.owed_by_name or _whom(w.owed_by),
                w.plan,
                f"{w.rule} · {w.policy}",
                w.key,
            )
            for w in page.items
        ]
        columns = ("act by", "state", "what", "member", "owed by", "plan", "why", "key")
        f.table(f"Owed on {f.local(now)}", columns, rows, empty="Nothing is owed.", note=note(system, page))
        if matters is not None:
            _show_matters(matters, limit, plan, known=system.settings.throughline_as is not None)
        else:
            for notice in Notices(system.pool).open():
                f.err.print(Text(f"Front door: {notice.said}, since {f.local(notice.since)}. {notice.remedy}", style="bold yellow"))
        unled = queries_of(system).without_lead(now=now, plan=plan, limit=UNLED_COUNTED_MAX).items if care_manager is None else ()
        if unled:
            many = f"{UNLED_COUNTED_MAX} or more" if len(unled) == UNLED_COUNTED_MAX else str(len(unled))
            f.err.print(Text(f"Without a lead: {many}; `throughline caseload --without-lead` shows whom.", style="yellow"))


def _matters(system: System, plan: str | None, *, names: bool) -> tuple[Matter, ...] | None:
    """What the front door leaves; None, and said so, where its registry cannot be read: what is owed is shown all the same."""
    try:
        door = door_of(system)
    except SourcesInvalid as faulty:
        f.err.print(Text(f"Front door: not looked at. {faulty}", style="bold red"))
        return None
    try:
        return open_matters(door, queries_of(system), system.clock.now(), plan=plan, names=names)
    finally:
        door.close()


def _of_a_process(kind: str | None) -> str | None:
    if kind is not None and kind not in PROCESSES:
        raise Stop(f"there is no kind {kind}.", field="--kind", remedy=f"write one of {', '.join(PROCESSES)}", status=f.USAGE)
    return kind


def _show_matters(matters: Sequence[Matter], limit: int, plan: str | None, *, known: bool) -> None:
    """`known`: who looks at them has said who that is."""
    if not matters:
        f.out.print("Nothing waits at the front door." if plan is None else f"Nothing of {plan} waits at the front door.")
        return
    many = ", ".join(
        several(count, plain(kind)) if kind in COUNTED else f"{count} {plain(kind)}" for kind, count in counted(matters).items()
    )
    tree = Tree(Text(f"Front door: {many}", "bold"))
    for m in matters[:limit]:
        about = [m.source] if m.source and m.source not in m.why else []
        about += [m.who] if m.who else [f.short(member) for member in m.members]
        about += [f"by {f.local(m.due_at, due=True)}"] if m.due_at else []
        named = Text(plain(m.kind.value), "bold red" if m.kind in URGENT else "yellow")
        branch = tree.add(
            Text.assemble(named, f"  since {f.local(m.since)}  {m.why}", (f"  {', '.join(about)}" if about else "", "dim"))
        )
        for todo in m.todo:
            branch.add(Text.assemble((f"{todo.what.removesuffix('.')}: ", "dim"), todo.command))
    f.tree(tree)
    if len(matters) > limit:
        f.err.print(Text(f"{len(matters) - limit} more with a higher --limit", style="dim"))
    if not known:
        f.err.print(Text("What writes wants to know who you are: add --as, or set THROUGHLINE_AS once", style="dim"))


def deadlines(
    plan: Plan = None,
    care_manager: CareManager = None,
    kind: Kind = None,
    rule: Rule = None,
    member: About = None,
    due_after: DueAfter = None,
    due_before: DueBefore = None,
    verdict: Annotated[list[Verdict] | None, typer.Option(help="Only with this verdict. May be given several times.")] = None,
    governing: Annotated[bool | None, typer.Option("--governing/--beside", help="Only those that count, or those beside.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Every due that was ever set, with its verdict: met, met late, missed and since when known, withdrawn and why.

    Example:

        throughline deadlines --verdict missed --plan default --due-after 2026-11-01
    """
    with f.opened() as system:
        page = queries_of(system).deadlines(
            now=system.clock.now(), plan=plan, care_manager=staff_id(system, care_manager), kind=kind, rule=rule,
            member=member_id(system, member), due_after=day(due_after, "--due-after"), due_before=day(due_before, "--due-before"),
            verdicts=tuple(v.value for v in verdict or ()), governing=governing, limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (
                f.local(d.due_at, due=True),
                f.coloured(d.verdict),
                _what(d.what, governing=d.governing),
                d.member_name or f.short(d.member),
                d.plan,
                d.policy,
                _told(d),
                d.met_at,
            )
            for d in page.items
        ]
        columns = ("due", "verdict", "what", "member", "plan", "policy", "remarks", "met")
        f.table("Deadlines", columns, rows, empty="No deadline fits.", note=note(system, page))


def transitions(
    plan: Plan = None,
    care_manager: CareManager = None,
    member: About = None,
    status: Annotated[str | None, typer.Option(help="admitted, discharged, cancelled, ended, or in_care.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those with something overdue.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """The transitions board: who is in hospital, who came out, and how far the checklist is.

    Example:

        throughline transitions --status in_care --overdue
    """
    with f.opened() as system:
        page = queries_of(system).transitions(
            now=system.clock.now(), plan=plan, care_manager=staff_id(system, care_manager), member=member_id(system, member),
            status=status, overdue=overdue, limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (
                t.status,
                t.member_name or f.short(t.member),
                t.facility,
                t.stay_class,
                f.when(t.admitted_at, t.admitted_on),
                f.when(t.discharged_at, t.discharged_on),
                f"{t.items_met} of {t.items_met + t.items_open + t.items_missed}",
                Text(str(t.items_missed), "bold red" if t.items_missed else "dim"),
                f.local(t.next_due_at, due=True),
                promise(t.next_due_rule) if t.next_due_rule else "",
                t.lead_name or _whom(t.lead),
            )
            for t in page.items
        ]
        columns = ("status", "member", "facility", "class", "admitted", "discharged", "done", "missed", "next due", "what", "lead")
        f.table("Transitional care", columns, rows, empty="Nobody is in transitional care.", note=note(system, page))


def members(
    text: Annotated[str | None, typer.Argument(help="The beginning of a name, or a CIN.")] = None,
    plan: Plan = None,
    care_manager: CareManager = None,
    status: Annotated[str | None, typer.Option(help="assigned, enrolled, held, closed …")] = None,
    tier: Annotated[str | None, typer.Option(help="Only in this tier, as the plan calls it.")] = None,
    no_contact_days: Annotated[
        int | None, typer.Option("--no-contact-days", help="Under way, and nobody spoke with them for so many days.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Members, with their newest episode.

    Examples:

        throughline members okafor

        throughline members --no-contact-days 30
    """
    with f.opened() as system:
        cin = text if text and text.strip()[:1].isdigit() else None
        page = queries_of(system).members(
            text=None if cin else text, cin=cin, plan=plan, care_manager=staff_id(system, care_manager), status=status,
            tier=tier, no_contact_days=no_contact_days, now=system.clock.now(), limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        leads = queries_of(system).names([m.lead for m in page.items]) if names else {}
        rows = [
            (
                m.member,
                m.name,
                m.status,
                m.plan,
                m.tier,
                m.last_contact_at,
                m.language,
                m.opted_out,
                leads.get(m.lead, f.short(m.lead)),
            )
            for m in page.items
        ]
        columns = ("id", "name", "status", "plan", "tier", "last contact", "language", "opted out of", "lead")
        f.table("Members", columns, rows, empty="Nobody fits.", note=note(system, page))


def timeline(
    about: Annotated[str, typer.Argument(help="A member (id or CIN), or any other stream's id.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="Only what had occurred by then.")] = None,
    known_at: Annotated[str | None, typer.Option("--known-at", help="Only what was recorded by then.")] = None,
    since: Annotated[str | None, typer.Option(help="From this day or instant on.")] = None,
    order: Annotated[Order, typer.Option(help="In the order of the world, or of our learning.")] = Order.OCCURRED,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The newest first.")] = False,
    unseal: Annotated[bool, typer.Option("--unseal", help="Show notes and names too.")] = False,
    limit: Limit = 200,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Everything that was recorded about a member, in words.

    Examples:

        throughline timeline 91234567A

        throughline timeline member-3e1d7c5a --order recorded --newest-first
    """
    with f.opened() as system:
        stream = stream_of(system, about)
        said: dict[str, Any] = {
            "as_of": day(as_of, "--as-of"), "known_at": day(known_at, "--known-at"), "since": day(since, "--since"),
            "order": order.value, "newest_first": newest_first, "limit": limit, "cursor": cursor, "unseal": unseal,
        }  # fmt: skip
        queries = queries_of(system)
        if stream.startswith("member-"):
            page = queries.timeline(member=stream, **said)
        else:
            page = queries.stream_timeline(stream=stream, **said)
        if json:
            f.as_json(page)
            return
        who = queries.names([e.actor for e in page.items if e.actor.startswith("staff-")])
        rows = [
            (
                f.when(e.occurred_at, e.occurred_on),
                _late(e.occurred_at, e.recorded_at),
                Text(e.kind, "dim"),
                _sentence(e),
                who.get(e.actor, f.short(e.actor)),
                e.policy,
                Text(e.event_id[:8], "dim"),
            )
            for e in page.items
        ]
        columns = ("occurred", "recorded", "stream", "what", "by", "policy", "event")
        f.table(stream, columns, rows, empty="Nothing was recorded.", note=note(system, page))


def history(
    about: Annotated[str, typer.Argument(help="A member: an id or a CIN.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="The day (or instant) in the world; left out: now.")] = None,
    known_at: Annotated[str | None, typer.Option("--known-at", help="What had been recorded by then; left out: now.")] = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """The member as they were on a day, as staff knew it on a day: folded from the log itself.

    Examples:

        throughline history 91234567A --as-of 2026-11-20

        throughline history 91234567A --as-of 2026-11-20 --known-at 2026-11-21
    """
    with f.opened() as system:
        now = system.clock.now()
        then = member_then(
            system.log, stream_of(system, about, kind="member"), as_of=day(as_of, "--as-of") or now,
            known_at=day(known_at, "--known-at") or now, names=names,
        )  # fmt: skip
        if json:
            f.as_json(then)
        else:
            _show_then(then, _called(system, then.owed, *(e.lead_care_manager or "" for e in then.episodes), names=names))


def why(
    about: Annotated[str, typer.Argument(help="A member (id or CIN), an episode, or one of its processes.")],
    rule: Rule = None,
    all_: Annotated[bool, typer.Option("--all", help="Also what was met, missed or withdrawn.")] = False,
    names: Names = True,
    json: Json = False,
) -> None:
    """Why something is owed: by when, under which rule and policy version, from which events, what happens next and when.

    Examples:

        throughline explain 91234567A

        throughline explain outreach-1c2d3e4f --rule initial_contact --all
    """
    with f.opened() as system:
        told = explain(system.log, (stream_of(system, about),), now=system.clock.now())
        if json:
            f.as_json(told)
            return
        if not told:
            f.out.print("No process runs for this.")
        called = _called(system, told, names=names)
        for explanation in told:
            f.tree(_tree(explanation, rule, called, everything=all_))


def _called(system: System, told: Iterable[Explanation], *others: str, names: bool) -> Mapping[str, str]:
    """The names of those who owe something, by stream."""
    streams = {*others, *(owed.owed_by for explanation in told for owed in explanation.owed)} if names else ()
    return queries_of(system).names(sorted(streams))


def _show_then(then: MemberThen, called: Mapping[str, str]) -> None:
    name = " ".join(part for part in (then.given_name, then.family_name) if part) or then.member
    tree = Tree(Text(name, "bold"))
    tree.add(f"as of {f.local(then.as_of)}, as known on {f.local(then.known_at)} ({then.facts_known} facts)")
    facts = [f"speaks {then.language}", f"lives in {then.timezone}", "covered" if then.covered else "without coverage"]
    facts += [f"born {then.birth_date}"] if then.birth_date else []
    facts += [f"died {f.local(then.died_at)}"] if then.died_at else []
    facts += [f"opted out of {', '.join(then.opted_out)}"] if then.opted_out else []
    facts += [f"{'agreed to' if given else 'withdrew'} {scope}" for scope, given in then.consents.items()]
    tree.add(", ".join(facts))
    for point in then.contact_points:
        tree.add(f"{point.kind} {point.value or ''}{'' if point.usable else ' (does not reach them)'}".strip())
    for episode in then.episodes:
        lead = _whom(episode.lead_care_manager, called) if episode.lead_care_manager else "nobody"
        branch = tree.add(Text(f"{f.short(episode.episode)}: {episode.status} {episode.closed_because}".rstrip(), "bold"))
        branch.add(f"assigned by {episode.plan} {f.local(episode.received_at)}, led by {lead}, policy {episode.policy}")
        if episode.year is not None and (episode.year.tier.found or episode.year.tier.overridden):
            _add_tier(branch, episode.year.tier)
    for stay in then.stays:
        tree.add(
            f"{stay.stay_class} at {stay.facility or 'an unknown facility'}: {stay.status}, "
            f"{f.when(stay.admitted_at, stay.admitted_on) or '?'} – {f.when(stay.discharged_at, stay.discharged_on)}".rstrip(" –")
        )
    for explanation in then.owed:
        tree.add(_tree(explanation, None, called, everything=False))
    f.tree(tree)


def _add_tier(tree: Tree, said: TierThen) -> None:
    """The tier that held then, under which rules of which policy version, on which facts."""
    found = f"{plain(said.found)} by the rules of {said.policy}" if said.found else "none found"
    by_hand = f", set by hand: {said.override_reason} (else {found})" if said.overridden else ""
    branch = tree.add(f"tier {plain(said.tier)}{by_hand}" if said.overridden else f"tier {found}")
    for ground in said.grounds:
        rule = branch.add(plain(ground.rule))
        for fact in ground.facts:
            rule.add(Text(f"{fact.sentence} · {f.when(fact.occurred_at, fact.occurred_on)} · {fact.event_id[:8]}", "dim"))


def _tree(told: Explanation, rule: str | None, called: Mapping[str, str], *, everything: bool) -> Tree:
    ended = (
        "nothing is owed any more" if told.done else f"looks again {f.local(told.looks_again_at)}" if told.looks_again_at else ""
    )
    waits = f"; waits for {waited(told.waits_for)}" if told.waits_for else ""
    tree = Tree(Text.assemble((told.process, "bold"), (f"  {ended}{waits}", "dim")))
    shown = [
        o
        for o in told.owed
        if (rule is None or o.rule.startswith(rule)) and (everything or o.state in ("open", "infeasible", "missed"))
    ]
    for owed in shown:
        _add_owed(tree, owed, called)
    if hidden := len(told.owed) - len(shown):
        tree.add(Text(f"{hidden} more, settled or of other rules (--all shows all)", "dim"))
    for step in told.next_steps:
        tree.add(Text(f"to be written: {step.what} as of {f.local(step.as_of)}", "dim"))
    for sending in told.sending:
        tree.add(f"to be sent: {sending}")
    for step in told.then:
        tree.add(Text(f"next, {f.local(step.as_of)}, unless something happens before: {step.what}", "dim"))
    return tree


def _add_owed(tree: Tree, owed: Owed, called: Mapping[str, str]) -> None:
    state = "suspended" if owed.suspended else owed.state
    branch = tree.add(
        Text.assemble(
            f.coloured(state), "  ", (promise(owed.rule), "bold"), f"  due {f.local(owed.due_at, due=True)}",
            "" if owed.governing else "  (computed beside the one that counts)",
        )
    )  # fmt: skip
    branch.add(f"rule {owed.rule} of {owed.policy}; owed by {_whom(owed.owed_by, called)}; act by {f.local(owed.act_by, due=True)}")
    if owed.met_at:
        branch.add(f"met {f.local(owed.met_at)}")
    for variant in owed.variants:
        if variant.due_at != owed.due_at:
            branch.add(f"{_VARIANTS.get(variant.name, plain(variant.name))} {f.local(variant.due_at, due=True)}")
    for said in filter(None, (owed.how and f"how: {owed.how}", owed.reason and f"because: {plain(owed.reason)}")):
        branch.add(said)
    for fact in owed.because:
        branch.add(Text(f"{fact.sentence} · {f.when(fact.occurred_at, fact.occurred_on)} · {fact.event_id[:8]}", "dim"))


_VARIANTS = {"default": "by the plan's own interval it would be due", "agreed": "as agreed with the member it is due"}
"""What another way of counting is called; those of the processes' own policies by their names."""


def _what(what: str, *, governing: bool, how: str = "") -> Text:
    said = Text(what) if governing else Text(f"{what} (beside)", "dim")
    return said.append(f"\n{how}", style="dim") if how else said


def _whom(owed_by: str, called: Mapping[str, str] = NOBODY_CALLED) -> str:
    if owed_by in called:
        return called[owed_by]
    return f.short(owed_by) if owed_by.startswith("staff-") else plain(owed_by.removeprefix("role:"))


def _told(d: Deadline) -> str:
    default = next((v.due_at for v in d.variants if v.name == "default" and v.due_at != d.due_at), None)
    said = (
        d.late_on_arrival and "late on arrival",
        plain(d.miss_withdrawn_because or d.withdrawn_because),
        d.generation > 1 and f"written {d.generation} times",
        default and f"as agreed; by the plan's own interval {f.local(default, due=True)}",
    )
    return ", ".join(part for part in said if part)


def _late(occurred: datetime, recorded: datetime) -> Text:
    return Text(f.local(recorded), "yellow") if (recorded - occurred).total_seconds() > 3600 else Text("at once", "dim")


def _sentence(entry: Any) -> Text:
    said = Text(entry.sentence)
    if entry.due_at:
        said.append(f", due {f.local(entry.due_at, due=True)}")
    for field, text in entry.personal:
        said.append(f"\n{field}: {text}", style="dim")
    return said


def staff_id(system: System, said: str | None) -> str | None:
    return None if said is None else staff_of(system, said)


def member_id(system: System, said: str | None) -> str | None:
    return None if said is None else stream_of(system, said, kind="member")


def day(said: str | None, field: str) -> datetime | None:
    if said is None:
        return None
    try:
        found = instant_of(said)
    except ValueError:
        raise Stop(
            "is neither a day nor an instant.", field=field, remedy="2026-11-20, or 2026-11-20T15:05", status=f.USAGE
        ) from None
    if len(said) == 10 and field in ("--due-after", "--since", "--from"):
        return start_of_day(date.fromisoformat(said), OFFICE_ZONE)
    return found


def note(system: System, page: Page[Any]) -> str:
    """How far behind the read models are, and that there is more."""
    lag = max((model.lag for model in projector_of(system).status()), default=0)
    said = [f"more with --cursor {page.next_cursor}"] if page.next_cursor else []
    if lag:
        said.append(f"the read models are {lag} positions behind the log; `throughline up` (or `projections run`) brings them up")
    return "; ".join(said)


def mount(app: typer.Typer) -> None:
    for name, command in (
        ("worklist", worklist),
        ("deadlines", deadlines),
        ("transitions", transitions),
        ("members", members),
        ("timeline", timeline),
        ("history", history),
        ("explain", why),
    ):
        app.command(name, rich_help_panel=PANEL)(command)

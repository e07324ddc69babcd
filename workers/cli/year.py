"""The year of a member: where each stands, tier and populations of focus with their grounds, who was spoken with and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from api.known import Fact
from api.year import CadenceThen, CarePlanThen, GroundThen, PopulationThen, TierThen, YearThen, years_then
from projections.words import because, listed, plain, several
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Names, Stop
from workers.cli.looking import PANEL, CareManager, Plan, day, member_id, note, staff_id
from workers.cli.people import stream_of
from workers.composition import System
from workers.services import queries_of

Whose = Annotated[str, typer.Argument(metavar="MEMBER", help="A member: an id or a CIN.")]
About = Annotated[str | None, typer.Option("--member", help="Only about this member: an id or a CIN.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The day (or instant) in the world; left out: now.")]
KnownAt = Annotated[str | None, typer.Option("--known-at", help="What had been recorded by then; left out: now.")]
AllEpisodes = Annotated[bool, typer.Option("--all", help="Also earlier episodes.")]

member_app = typer.Typer(help="One member: their year at a glance.", no_args_is_help=True, rich_markup_mode="rich")

Called = Mapping[str, str]
"""Names of staff by stream."""


@member_app.command("show")
def show_member(
    member: Whose, as_of: AsOf = None, known_at: KnownAt = None, all_: AllEpisodes = False, names: Names = True, json: Json = False
) -> None:
    """A member's year: tier with its reasons, cadence, steps, authorisation, assessment and care plan, populations of focus.

    With --as-of and --known-at: as it was on a day, as staff knew it on a day.

    Examples:

        throughline member show 91234567A

        throughline member show 91234567A --as-of 2026-11-20 --known-at 2026-11-21
    """
    with f.opened() as system:
        whose, at, years = _years(system, member, as_of, known_at, all_=all_)
        if json:
            f.as_json(years)
            return
        called = _called(system, whose, years, names=names)
        tree = Tree(Text.assemble((called.get(whose, whose), "bold"), (f"  {whose}" if whose in called else "", "dim")))
        tree.add(Text(f"as of {f.local(at)}" + (f", as known on {known_at}" if known_at else ""), "dim"))
        for year in years:
            tree.add(_whole(year, called))
        f.tree(tree)


def tier(
    member: Whose, as_of: AsOf = None, known_at: KnownAt = None, all_: AllEpisodes = False, names: Names = True, json: Json = False
) -> None:
    """A member's tier, and why: which rules of which policy version, on which facts; the plan's own tier; who said otherwise.

    Examples:

        throughline tier 91234567A

        throughline tier 91234567A --as-of 2026-11-20
    """
    with f.opened() as system:
        whose, _, years = _years(system, member, as_of, known_at, all_=all_)
        if json:
            f.as_json([{"episode": y.episode, "plan": y.plan, "tier": y.tier} for y in years])
            return
        called = _called(system, whose, years, names=names)
        for year in years:
            tree = _tier(year.tier, called)
            tree.add(Text(f"{f.short(year.episode)} of {called.get(whose, f.short(whose))}, plan {year.plan}", "dim"))
            f.tree(tree)


def populations(
    member: Annotated[str | None, typer.Argument(help="A member: an id or a CIN; left out: everybody's.")] = None,
    state: Annotated[str | None, typer.Option(help="proposed, confirmed, rejected or withdrawn.")] = None,
    population: Annotated[str | None, typer.Option(help="Only this one, by its key in the policy.")] = None,
    plan: Plan = None,
    care_manager: CareManager = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Populations of focus: proposed, confirmed, rejected. Of a member with the facts on which each rests; else a list.

    Examples:

        throughline populations 91234567A

        throughline populations --state proposed
    """
    with f.opened() as system:
        if member is not None:
            _populations_of(system, member, as_of, known_at, state, population, names=names, json=json)
            return
        if as_of or known_at:
            raise Stop("goes with a member only.", field="--as-of", remedy="name the member", status=f.USAGE)
        page = queries_of(system).populations(
            state=state, population=population, plan=plan, care_manager=staff_id(system, care_manager), limit=limit,
            cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (plain(p.population), f.coloured(p.state), p.since, p.member_name or f.short(p.member), p.plan,
             listed(dict.fromkeys(g.rule.removeprefix(f"{p.population}/") for g in p.grounds)), p.policy,
             p.by_name or _by(p.by, {}), p.reason)
            for p in page.items
        ]  # fmt: skip
        columns = ("population of focus", "state", "since", "member", "plan", "because", "policy", "by", "reason")
        f.table("Populations of focus", columns, rows, empty="None was proposed.", note=note(system, page))


def follow_ups(
    plan: Plan = None,
    care_manager: CareManager = None,
    member: About = None,
    status: Annotated[str | None, typer.Option(help="enrolled, held, assigned, closed …; left out: enrolled and held.")] = None,
    tier: Annotated[str | None, typer.Option(help="Only in this tier, as the plan calls it.")] = None,
    overridden: Annotated[bool | None, typer.Option("--overridden/--as-found", help="Whose tier was set by hand, or not.")] = None,
    step_undone: Annotated[str | None, typer.Option("--step-undone", help="Where this step of the enrolment is undone.")] = None,
    no_contact_days: Annotated[int | None, typer.Option("--no-contact-days", help="Nobody spoke with them for so long.")] = None,
    authorised_before: Annotated[str | None, typer.Option("--authorised-before", help="Authorised to before this day.")] = None,
    conflict: Annotated[bool, typer.Option("--conflict", help="Only with a conflict that nobody settled.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only with something overdue.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """The board of the year after enrolment: steps, tier, cadence, last and next contact, authorisation, what stands open.

    Examples:

        throughline follow-ups --care-manager dana@example.org --overdue

        throughline follow-ups --no-contact-days 30
    """
    with f.opened() as system:
        now = system.clock.now()
        page = queries_of(system).follow_ups(
            now=now, plan=plan, care_manager=staff_id(system, care_manager), member=member_id(system, member), status=status,
            tier=tier, tier_overridden=overridden, step_undone=step_undone, no_contact_days=no_contact_days,
            authorised_before=_date(authorised_before, "--authorised-before"), conflict_open=True if conflict else None,
            overdue=overdue, limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (
                y.member_name or f.short(y.member),
                f"held ({plain(y.held_because)})" if y.held_at else y.status,
                f"{len(y.steps_done)} of {len(y.steps_done) + len(y.steps_undone)}",
                Text.assemble(y.tier or "·", (" by hand" if y.tier_overridden else "", "yellow")),
                y.plan_tier,
                f"every {y.agreed_every_days} d" if y.agreed_every_days else "",
                y.last_contact_at,
                Text(
                    f.local(y.next_contact_due_at, due=True),
                    _red(y.next_contact_due_at is not None and y.next_contact_due_at <= now),
                ),
                Text(str(y.overdue + y.missed), _red(y.overdue + y.missed > 0, "dim")),
                Text(str(y.authorised_until or "nothing"), _red(y.authorised_until is None or y.authorised_until < now.date())),
                [*(plain(p) for p in y.populations_confirmed), *(f"{plain(p)}?" for p in y.populations_proposed)],
                _stands_open(y.conflicts_open, y.provider_change_since),
                y.lead_name or _by(y.lead, {}),
            )
            for y in page.items
        ]
        columns = ("member", "status", "steps", "tier", "plan's", "agreed", "last contact", "next due", "overdue", "authorised",
                   "populations", "open", "lead")  # fmt: skip
        f.table("The year after enrolment", columns, rows, empty="Nobody is followed up.", note=note(system, page))


def contacts(
    member: Annotated[str | None, typer.Argument(help="A member: an id or a CIN; left out: everybody's.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Recorded by this member of staff: an id or a mail address.")] = None,
    plan: Plan = None,
    kind: Annotated[str | None, typer.Option(help="contact or attempt.")] = None,
    standing: Annotated[str | None, typer.Option(help="counts, awaits_approval, rejected or struck_out.")] = None,
    since: Annotated[str | None, typer.Option(help="From this day or instant on.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Every exchange and every try, the newest first: how, with whom, how long, by whom, and how late it was written down.

    Examples:

        throughline contacts 91234567A

        throughline contacts --standing awaits_approval
    """
    with f.opened() as system:
        page = queries_of(system).contacts(
            member=member_id(system, member), by=staff_id(system, by), plan=plan, kind=kind, standing=standing,
            since=day(since, "--since"), limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (
                c.occurred_at,
                _lag(c.entry_lag_seconds),
                c.kind,
                plain(c.how),
                plain(c.spoken_to or c.outcome),
                f"{c.minutes} min" if c.minutes else "",
                Text(plain(c.standing), "" if c.standing == "counts" else "yellow"),
                c.member_name or f.short(c.member),
                c.by_name or _by(c.by, {}),
                Text(c.stream.partition("-")[0], "dim"),
                Text(c.event_id, "dim"),
            )
            for c in page.items
        ]
        columns = ("when", "entered", "what", "how", "with / outcome", "time", "standing", "member", "by", "in", "event")
        f.table("Contacts and attempts", columns, rows, empty="Nobody was spoken with.", note=note(system, page))


# --- a member's year as a tree -------------------------------------------------------------------------------------------------


def _years(
    system: System, member: str, as_of: str | None, known_at: str | None, *, all_: bool
) -> tuple[str, datetime, tuple[YearThen, ...]]:
    whose = stream_of(system, member, kind="member")
    now = system.clock.now()
    at = day(as_of, "--as-of") or now
    years = years_then(system.log, whose, as_of=at, known_at=day(known_at, "--known-at") or now)
    if not years:
        raise Stop(
            "The member had no episode then." if as_of or known_at else "The member has no episode.", field="member",
            remedy="`throughline history` shows what was known of them", code="no_episode",
        )  # fmt: skip
    return whose, at, years if all_ else years[:1]


def _called(system: System, whose: str, years: Iterable[YearThen], *, names: bool) -> Called:
    if not names:
        return {}
    people: set[str] = {whose}
    for y in years:
        people |= {y.lead_care_manager or "", y.tier.overridden_by, y.cadence.agreed_by, *(s.by for s in y.steps)}
        people |= {p.by for p in y.populations} | {y.care_plan.written_by if y.care_plan else ""}
        grounds = (*y.tier.grounds, *(g for p in y.populations for g in p.grounds))
        people |= {fact.actor for ground in grounds for fact in ground.facts}
        people |= {y.cadence.counts_from.actor if y.cadence.counts_from else ""}
    return queries_of(system).names(sorted(people - {""}))


def _whole(year: YearThen, called: Called) -> Tree:
    agreed = because(", ".join(plain(word) for word in (year.agreed, year.agreed_how) if word))
    status = (
        f"closed {f.local(year.closed_at)} ({plain(year.closed_because.lower())})" if year.closed_at
        else f"enrolled {f.local(year.enrolled_at)}{agreed}" if year.enrolled_at
        else "assigned, not enrolled"
    )  # fmt: skip
    tree = Tree(Text.assemble((f.short(year.episode), "bold"), f"  {status}"))
    policy = f", policy {year.policy}" if year.policy else ""
    tree.add(f"plan {year.plan}{policy}; led by {_by(year.lead_care_manager or '', called) or 'nobody'}")
    if year.held_because:
        tree.add(Text(f"on hold ({plain(year.held_because)}): the cadence rests", "yellow"))
    tree.add(_tier(year.tier, called))
    if year.enrolled_at:
        tree.add(_cadence(year.cadence, called))
        tree.add(_steps(year, called))
        tree.add(_authorisation(year))
        _assessment(tree, year)
        tree.add(_care_plan(year.care_plan, called))
    if year.populations:
        branch = tree.add(Text("populations of focus", "bold"))
        for population in _in_order(year.populations):
            branch.add(_population(population, called))
    _open_questions(tree, year)
    return tree


def _tier(said: TierThen, called: Called) -> Tree:
    by_hand = ("  set by hand", "yellow") if said.overridden else ("", "")
    tree = Tree(
        Text.assemble(
            ("tier ", "bold"), (plain(said.tier), "bold cyan"), f"  since {f.local(said.since)}" if said.since else "", by_hand
        )
    )
    if said.overridden:
        tree.add(f"{_by(said.overridden_by, called)}, {f.local(said.overridden_at)}: {said.override_reason}")
    if said.found:
        branch = tree.add(f"the rules of {said.policy} find {plain(said.found)} since {f.local(said.found_since)}")
        _add_grounds(branch, said.grounds, called)
        if not said.grounds:
            branch.add(Text("no rule holds: it is the tier of everybody else", "dim"))
    elif not said.overridden:
        tree.add(Text("the plan's rules name none", "dim"))
    if said.plan_tier:
        tree.add(f"the plan says: {said.plan_tier}")
    return tree


def _add_grounds(tree: Tree, grounds: Iterable[GroundThen], called: Called, *, of: str = "") -> None:
    """`of`: the population of focus of which the rules are the parts."""
    for ground in grounds:
        branch = tree.add(plain(ground.rule.removeprefix(f"{of}/")))
        for fact in ground.facts:
            branch.add(_fact(fact, called))


def _fact(fact: Fact, called: Called) -> Text:
    by = f" · {_by(fact.actor, called)}" if fact.actor.startswith("staff-") else ""
    return Text(f"{fact.sentence} · {f.when(fact.occurred_at, fact.occurred_on)}{by} · {fact.event_id[:8]}", "dim")


def _cadence(said: CadenceThen, called: Called) -> Tree:
    due = f"due {f.local(said.next_due_at, due=True)}" if said.next_due_at else "no day asked for"
    tree = Tree(Text.assemble(("next contact ", "bold"), due, ("  rests" if said.suspended else "", "yellow")))
    if said.why:
        tree.add(f"{said.why} ({said.policy})")
    if said.counts_from is not None:
        tree.add(Text.assemble("counts from: ", _fact(said.counts_from, called)))
    if said.agreed_every_days:
        by = _by(said.agreed_by, called)
        agreed = tree.add(f"agreed with the member: every {several(said.agreed_every_days, 'day')} ({said.agreed_because}), {by}")
        if said.default_due_at:
            agreed.add(f"by the plan's own interval it would be due {f.local(said.default_due_at, due=True)}")
    if said.last_contact is not None and (said.counts_from is None or said.last_contact.event_id != said.counts_from.event_id):
        tree.add(Text.assemble("last contact: ", _fact(said.last_contact, called)))
    if said.missed:
        tree.add(Text(f"{several(said.missed, 'contact')} missed or late so far", "red"))
    return tree


def _steps(year: YearThen, called: Called) -> Tree:
    done = sum(s.done_at is not None for s in year.steps)
    tree = Tree(Text.assemble(("enrolment ", "bold"), f"{done} of {several(len(year.steps), 'step')} done"))
    for step in year.steps:
        if step.done_at is None:
            tree.add(Text(f"· {plain(step.step)}: undone", "yellow"))
        else:
            how = f", {plain(step.how)}" if step.how else ""
            tree.add(Text.assemble(("✓ ", "green"), f"{plain(step.step)} {f.local(step.done_at)}{how}, {_by(step.by, called)}"))
    return tree


def _authorisation(year: YearThen) -> Tree:
    until = f"until {year.authorised_until}" if year.authorised_until else "none; care goes on"
    tree = Tree(Text.assemble(("authorisation ", "bold"), until))
    for span in year.authorised:
        cut = ", cut short by a denial" if span.cut_short else ""
        number = f" · {span.number}" if span.number else ""
        tree.add(f"{plain(span.basis)} {span.first_day} – {span.last_day}{cut}{number}")
    return tree


def _assessment(tree: Tree, year: YearThen) -> None:
    a = year.assessment
    if a is None:
        tree.add(Text.assemble(("assessment ", "bold"), "not begun"))
        return
    state = (
        f"completed {f.local(a.completed_at)}" if a.completed_at
        else f"abandoned ({plain(a.abandoned_because)})" if a.abandoned_because
        else f"begun {f.local(a.begun_at)}, {several(a.answered, 'answer')} in {several(a.sittings, 'sitting')}"
    )  # fmt: skip
    tree.add(Text.assemble(("assessment ", "bold"), f"{plain(a.kind)} ({a.questionnaire}): {state}"))


def _care_plan(plan: CarePlanThen | None, called: Called) -> Tree:
    if plan is None:
        return Tree(Text.assemble(("care plan ", "bold"), "none yet"))
    tree = Tree(
        Text.assemble(("care plan ", "bold"), f"version {plan.version}, {f.local(plan.written_at)}, {_by(plan.written_by, called)}")
    )
    goals = f"{several(plan.goals_open, 'goal')} open, {plan.goals_met} met, {plan.goals_given_up} given up"
    tree.add(f"{goals}; {several(plan.tasks_open, 'task')} open")
    copy = f"copy given {f.local(plan.copy_given_at)}" if plan.copy_given_at else "no copy given yet"
    review = f"clinical review {f.local(plan.reviewed_at)}" if plan.reviewed_at else "no clinical review yet"
    tree.add(f"{copy}; {review}")
    return tree


def _population(said: PopulationThen, called: Called) -> Tree:
    by = f", {_by(said.by, called)}" if said.by.startswith("staff-") else ""
    state = Text("no longer proposed", "dim") if said.state == "withdrawn" else f.coloured(said.state)
    tree = Tree(Text.assemble(f"{plain(said.population)}: ", state, f" {f.local(said.since)}{by}{because(said.reason)}"))
    if said.state == "withdrawn":
        return tree
    _add_grounds(tree, said.grounds, called, of=said.population)
    if said.policy:
        tree.add(Text(f"criteria of {said.policy}", "dim"))
    return tree


def _in_order(populations: Iterable[PopulationThen]) -> list[PopulationThen]:
    """What staff have to look at first."""
    return sorted(populations, key=lambda p: ("proposed", "confirmed", "rejected", "withdrawn").index(p.state))


def _open_questions(tree: Tree, year: YearThen) -> None:
    for c in year.conflicts:
        state = f"settled {f.local(c.settled_at)}: {plain(c.outcome)}" if c.settled_at else "open"
        explained = f"; choice explained {f.local(c.choice_explained_at)}" if c.choice_explained_at else ""
        told = f"{plain(c.conflict)}{because(c.programme)}, raised {f.local(c.raised_at)}: {state}{explained}"
        tree.add(Text.assemble(("conflict ", "bold"), (told, "" if c.settled_at else "red")))
    if year.provider_change_since:
        since = f.local(year.provider_change_since)
        tree.add(Text(f"wants another provider since {since}; services go on meanwhile", "yellow"))


def _populations_of(
    system: System,
    member: str,
    as_of: str | None,
    known_at: str | None,
    state: str | None,
    population: str | None,
    *,
    names: bool,
    json: bool,
) -> None:
    whose, _, years = _years(system, member, as_of, known_at, all_=False)
    wanted = [p for p in years[0].populations if state in (None, p.state) and population in (None, p.population)]
    if json:
        f.as_json(wanted)
        return
    called = _called(system, whose, years, names=names)
    tree = Tree(Text.assemble(("populations of focus", "bold"), f"  {called.get(whose, whose)}"))
    for each in _in_order(wanted):
        tree.add(_population(each, called))
    if not wanted:
        tree.add(Text("none was proposed", "dim"))
    f.tree(tree)


# --- words ---------------------------------------------------------------------------------------------------------------------


def _by(staff: str, called: Called) -> str:
    return called.get(staff) or f.short(staff)


def _red(so: bool, otherwise: str = "") -> str:
    return "bold red" if so else otherwise


def _stands_open(conflicts: int, change_since: datetime | None) -> Text:
    said = [several(conflicts, "conflict")] if conflicts else []
    said += ["wants another provider"] if change_since else []
    return Text(", ".join(said) or "·", "red" if conflicts else "yellow" if change_since else "dim")


def _lag(seconds: float) -> Text:
    if seconds < 3600:
        return Text("at once", "dim")
    hours = int(seconds // 3600)
    return Text(f"{hours} h later" if hours < 48 else f"{several(hours // 24, 'day')} later", "yellow")


def _date(said: str | None, field: str) -> date | None:
    if said is None:
        return None
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise Stop("is no day.", field=field, remedy="write it like 2026-11-20", status=f.USAGE) from None


def mount(app: typer.Typer) -> None:
    app.add_typer(member_app, name="member", rich_help_panel=PANEL)
    for name, command in (("tier", tier), ("populations", populations), ("follow-ups", follow_ups), ("contacts", contacts)):
        app.command(name, rich_help_panel=PANEL)(command)

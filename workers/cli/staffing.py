"""`caseload`, and of `staff` what is more than one command: who has room, and members who go to somebody else."""

from __future__ import annotations

import sys
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from api.looking_back import instant_of
from api.placing import NoEpisode, placing
from domain.caseload.state import points
from projections.answers import StaffRow
from projections.caseload_answers import Caseload, LeadOffer, WithoutLead
from projections.words import plain
from workers.cli import frame as f
from workers.cli.frame import Json, Limit, Names, Stop
from workers.cli.people import actor, staff_of, stream_of
from workers.composition import System
from workers.handing_over import HandedOver, Wish, hand_over, led_by
from workers.services import projector_of, queries_of

READ_MODELS = ("cases", "caseload_rules", "episodes", "members", "staff")
"""What the questions about caseloads read, and an offer must not be behind on."""

As = Annotated[str | None, typer.Option("--as", help="Who you are: a staff id or mail address (or set THROUGHLINE_AS).")]


def caseload(
    plan: Annotated[str | None, typer.Option(help="Count only this health plan's members.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As it was on a day (its end) or at an instant.")] = None,
    known_at: Annotated[str | None, typer.Option("--known-at", help="As far as it was recorded by then.")] = None,
    over_cap: Annotated[bool, typer.Option("--over-cap", help="Only who carries too much, and who allowed it.")] = False,
    without_lead: Annotated[bool, typer.Option("--without-lead", help="The members whose care nobody leads.")] = False,
    limit: Limit = 100,
    names: Names = True,
    json: Json = False,
) -> None:
    """What each lead care manager has: the raw ratio beside points by tier, who was taken beyond the cap, and who has nobody.

    Examples:

        throughline caseload

        throughline caseload --over-cap --as-of 2026-11-20

        throughline caseload --without-lead
    """
    with f.opened() as system:
        now, queries = system.clock.now(), queries_of(system)
        if without_lead:
            page = queries.without_lead(now=now, plan=plan, limit=limit, names=names)
            return f.as_json(page) if json else _show_without_lead(page.items)
        found = queries.caseload(
            now=now, plan=plan, as_of=_instant(as_of, "--as-of"), known_at=_instant(known_at, "--known-at"), over_cap=over_cap,
            names=names,
        )  # fmt: skip
        if json:
            return f.as_json(found)
        _show_caseload(found)
        if as_of is None and known_at is None and not over_cap:
            waiting = queries.without_lead(now=now, plan=plan, limit=limit, names=names).items
            if waiting:
                _show_without_lead(waiting)


def _show_caseload(found: tuple[Caseload, ...]) -> None:
    rows = [
        (
            c.name or c.staff or "nobody", f"1:{c.members}" if c.staff else c.members, _load(c),
            f"{c.share_percent} %" if c.staff else "",
            [f"{plain(t.tier) or 'no weight'} {t.members} = {points(t.points_tenths)}" for t in c.by_tier], c.assigned, c.enrolled,
            c.held, c.in_transition, c.owed, c.overdue, _remark(c),
        )
        for c in found
    ]  # fmt: skip
    columns = (
        "care manager", "ratio", "points", "of full time", "by tier", "assigned", "enrolled", "held", "in transition", "owed",
        "overdue", "",
    )  # fmt: skip
    f.table("Caseload", columns, rows, empty="Nobody has members.")
    beyond = [
        (b.staff_name or f.short(b.staff), b.member_name or f.short(b.member), points(b.weight_tenths),
         f"{points(b.load_tenths)} of {points(b.cap_tenths)}", b.because, b.allowed_by_name or b.allowed_by, f.local(b.taken_at))
        for c in found for b in c.beyond
    ]  # fmt: skip
    if beyond:
        words = ("care manager", "member", "weighs", "carried before", "because", "allowed by", "since")
        f.table("Taken beyond the cap", words, beyond, empty="")


def _load(c: Caseload) -> Any:
    if not c.staff:
        return ""
    said = points(c.points_tenths) if c.cap_tenths is None else f"{points(c.points_tenths)} of {points(c.cap_tenths)}"
    return Text(said, style="bold red") if c.over_cap else said


def _remark(c: Caseload) -> str:
    said = [f"over the {c.cap} cap"] if c.over_cap else []
    said += ["away"] if c.away else []
    return ", ".join((*said, *((f"last day {c.last_day}",) if c.last_day else ())))


def _show_without_lead(found: tuple[WithoutLead, ...]) -> None:
    rows = [
        (w.member_name or f.short(w.member), f.short(w.episode), w.plan, w.status, w.language, plain(w.because), f.local(w.since),
         w.last_lead_name or (f.short(w.last_lead) if w.last_lead else ""), f.local(w.next_due_at, due=True))
        for w in found
    ]  # fmt: skip
    columns = ("member", "episode", "plan", "status", "language", "why", "since", "last lead", "next due")
    f.table("Without a lead", columns, rows, empty="Everybody has a lead.")


def list_staff(
    role: Annotated[str | None, typer.Option(help="Only people in this role.")] = None,
    limit: Limit = 100,
    names: Names = True,
    json: Json = False,
) -> None:
    """Who works here, with roles, licences, trainings, languages, share of full time and absences.

    Example:

        throughline staff list --role supervisor
    """
    with f.opened() as system:
        projector_of(system).run_until_caught_up("staff")
        page = queries_of(system).staff(role=role, limit=limit, names=names)
        if json:
            return f.as_json(page)
        today = system.clock.now().date()
        rows = [
            (s.staff, s.name, s.roles, [f"{h.licence} to {h.expires_on}" for h in s.licences], _trainings(s, today),
             [f"{a.first_day}–{a.last_day}" for a in s.absences], s.languages,
             [f"{share.percent} % from {share.from_day}" for share in s.shares], s.last_day)
            for s in page.items
        ]  # fmt: skip
        columns = ("id", "name", "roles", "licences", "trainings", "absences", "languages", "share", "until")
        f.table("Staff", columns, rows, empty="Nobody works here yet; `throughline staff add` adds the first, a supervisor.")


def _trainings(s: StaffRow, today: date) -> list[str]:
    def until(day: date | None) -> str:
        return "" if day is None else f" expired {day}" if day < today else f" to {day}"

    return [f"{plain(t.training)}{until(t.expires_on)}" for t in s.trainings]


def offer(
    about: Annotated[str, typer.Argument(metavar="MEMBER", help="A member's id or CIN, or an id of their episode.")],
    names: Names = True,
    json: Json = False,
) -> None:
    """Who could lead a member's care: those who speak their language first, then those with most room.

    Example:

        throughline staff offer 91234567A
    """
    with f.opened() as system:
        projector_of(system).run_until_caught_up(*READ_MODELS)
        episode = stream_of(system, about, kind="episode")
        try:
            found = placing(system.gateway, queries_of(system), episode, now=system.clock.now(), names=names)
        except NoEpisode:
            raise Stop("has no open episode.", field="member", remedy="see `throughline members`", code="no_episode") from None
        if json:
            return f.as_json(found)
        title = f"Who could lead {f.short(found.member)}, who speaks {found.language} and weighs {points(found.weight_tenths)}"
        empty = "No care manager is there; see `throughline staff list --role care_manager`."
        columns = ("care manager", "id", "language", "points", "free", "ratio", "of full time", "")
        f.table(title, columns, [_offered(o, found.language) for o in found.offers], empty=empty)


def _offered(o: LeadOffer, language: str) -> tuple[Any, ...]:
    match = Text(f"language match ({language})", style="green") if o.language_match else Text("interpreter needed", style="yellow")
    carried = points(o.points_tenths) if o.cap_tenths is None else f"{points(o.points_tenths)} of {points(o.cap_tenths)}"
    free = "no cap" if o.free_tenths is None else points(max(0, o.free_tenths))
    over = Text(f"over the {o.cap} cap", style="bold red") if o.over_cap else ""
    return (o.name or f.short(o.staff), o.staff, match, carried, free, f"1:{o.members}", f"{o.share_percent} %", over)


def hand_members_over(
    about: Annotated[
        str | None, typer.Argument(metavar="MEMBER", help="One member (id or CIN), or their episode; left out: all.")
    ] = None,
    giver: Annotated[str | None, typer.Option("--from", help="Whose members: a staff id or mail address.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Who takes them: a staff id or mail address.")] = None,
    spread: Annotated[bool, typer.Option("--spread", help="Each to whom `staff offer` names first.")] = False,
    unassign_because: Annotated[str, typer.Option("--unassign-because", help="To nobody, for this reason.")] = "",
    note: Annotated[str | None, typer.Option(help="What the receiver should know (- reads it from standard input).")] = None,
    over_cap_because: Annotated[str, typer.Option("--over-cap-because", help="Why beyond the receiver's cap.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whom it is about.")] = False,
    by: As = None,
    json: Json = False,
) -> None:
    """Hand over one or all members of a care manager, each with a hand-over of their own. No clock moves.

    It may be stopped and given again: it goes on with whoever is left. Those who cannot be handed over are listed with the reason.

    Examples:

        throughline staff hand-over --from dana@example.org --to luis@example.org --note "prefers mornings"

        throughline staff hand-over --from dana@example.org --spread

        throughline staff hand-over 91234567A --to luis@example.org
    """
    if [to is not None, spread, bool(unassign_because)].count(True) != 1:
        raise Stop(
            "Say to whom, once.", field="--to", status=f.USAGE, code="receiver_missing",
            remedy="one of --to somebody, --spread, or --unassign-because with the reason",
        )  # fmt: skip
    if about is None and giver is None:
        raise Stop(
            "Say whose members.", field="--from", status=f.USAGE, remedy="--from somebody, or name a member", code="giver_missing"
        )
    note = sys.stdin.read().strip() if note == "-" else note
    with f.opened() as system:
        projector = projector_of(system)
        projector.run_until_caught_up(*READ_MODELS)
        leads = None if giver is None else staff_of(system, giver)
        episodes, leads = _meant(system, about, leads)
        wish = Wish(
            giver=leads, by=actor(system, by), to=None if to is None else staff_of(system, to), note=note or None,
            over_cap_because=over_cap_because, unassign_because=unassign_because,
        )  # fmt: skip
        if dry_run:
            f.as_json(episodes) if json else f.out.print(f"{len(episodes)} members: {', '.join(f.short(e) for e in episodes)}")
            return
        done: list[HandedOver] = []
        with f.progress("Handing over", quiet=json) as tell:
            for one in hand_over(
                system.gateway, queries_of(system), wish, episodes, now=system.clock.now,
                caught_up=lambda: projector.run_until_caught_up(*READ_MODELS),
            ):  # fmt: skip
                done.append(one)
                tell(len(done), len(episodes))
        called = queries_of(system).names([s for one in done for s in (one.member, one.to)])
        f.as_json(done) if json else _show_done(done, called, leads)
        if any(one.refused for one in done):
            raise typer.Exit(f.REFUSED)


def _meant(system: System, about: str | None, giver: str | None) -> tuple[tuple[str, ...], str]:
    """The episodes, and who leads them now."""
    if about is None:
        assert giver is not None
        return led_by(system.gateway, giver), giver
    episode = stream_of(system, about, kind="episode")
    lead = system.gateway.load(episode).state.lead_care_manager(system.clock.now())
    if lead is None or giver not in (None, lead):
        who = "nobody" if lead is None else f.short(lead)
        remedy = "assign one with `throughline staff assign`" if lead is None else "leave --from out, or name who leads"
        raise Stop(f"is led by {who}.", field="member", remedy=remedy, code="no_lead" if lead is None else "another_leads")
    return (episode,), lead


def _show_done(done: list[HandedOver], called: dict[str, str], giver: str) -> None:
    rows = [
        (called.get(one.member, f.short(one.member)), f.short(one.episode),
         Text("not handed over", style="bold red") if one.refused else called.get(one.to, f.short(one.to)) if one.to else "nobody",
         one.refused or ("interpreter needed" if one.interpreter_needed else ""))
        for one in done
    ]  # fmt: skip
    f.table("Handed over", ("member", "episode", "to", ""), rows, empty=f"{f.short(giver)} leads nobody any more.")
    left = sum(1 for one in done if one.refused)
    if left:
        f.err.print(f"{left} of {len(done)} were not handed over; `throughline staff offer` shows who has room.")


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        return instant_of(text)
    except ValueError:
        raise Stop(
            "is neither a day nor an instant.", field=field, remedy="2026-11-20, or 2026-11-20T15:05", status=f.USAGE
        ) from None


def mount(app: typer.Typer, staff: typer.Typer) -> None:
    app.command("caseload", rich_help_panel="Looking")(caseload)
    staff.command("list")(list_staff)
    staff.command("offer")(offer)
    staff.command("hand-over")(hand_members_over)

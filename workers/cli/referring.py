"""Other ways in (`refer`, `import-referrals`, `referrals`, `ways-in`), and what goes back to hospitals (`member disclosures`)."""

from __future__ import annotations

import json as json_of
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.text import Text

from domain.episode.referrals import ReferralSource, Urgency
from domain.staff.decider import OFFICE_ZONE
from intake.files.tables import FileRefused
from intake.referrals.desk import BY_STAFF
from intake.referrals.referral import Faulty, read_form
from intake.referrals.strangers import UnknownStranger
from intake.store.inbox import Status
from projections.words import plain, several
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Names, Stop
from workers.cli.looking import Plan, note
from workers.cli.people import actor, stream_of
from workers.cli.recording import As
from workers.cli.year import member_app
from workers.services import door_of, queries_of

PANEL = "Ways in"


def refer(
    family_name: Annotated[str, typer.Option("--family-name", help="The person's last name.")],
    born: Annotated[str, typer.Option(help="Birth date, as 1961-07-09.")],
    source: Annotated[ReferralSource, typer.Option(help="Who refers.")],
    cin: Annotated[str, typer.Option(help="The person's CIN; without it the referral waits until somebody says who it is.")] = "",
    given_name: Annotated[str, typer.Option("--given-name", help="The person's first name.")] = "",
    plan: Annotated[str, typer.Option(help="The person's health plan.")] = "default",
    organisation: Annotated[str, typer.Option(help="Of whoever refers.")] = "",
    referred_by: Annotated[str, typer.Option("--referred-by", help="Who refers, by name.")] = "",
    reason: Annotated[str, typer.Option(help="Why, in their words.")] = "",
    urgency: Annotated[Urgency, typer.Option(help="expedited: the plan has hours, not days.")] = Urgency.ROUTINE,
    population: Annotated[
        list[str] | None, typer.Option(help="A suspected population of focus, such as 2a; several times.")
    ] = None,
    phone: Annotated[str, typer.Option(help="The person's phone number.")] = "",
    language: Annotated[str, typer.Option(help="The person's language, such as es.")] = "",
    received_on: Annotated[str | None, typer.Option("--received-on", help="The day on which it came, where not today.")] = None,
    id_: Annotated[str, typer.Option("--id", help="The referrer's own id: the same one again is the same referral.")] = "",
    by: As = None,
    json: Json = False,
) -> None:
    """Take a referral. A known member gets it on their episode; somebody unknown becomes a member with an episode.

    Example:

        throughline refer --cin 91234567A --family-name Okafor --born 1961-07-09 --source physician --as rosa@example.org
    """
    person = {"cin": cin, "family_name": family_name, "given_name": given_name, "birth_date": born, "phone": phone}
    said: dict[str, Any] = {
        "plan": plan, "source": source.value, "organisation": organisation, "referred_by": referred_by, "reason": reason,
        "urgency": urgency.value, "populations": population or [], "id": id_, "person": person | {"language": language},
    }  # fmt: skip
    with f.opened() as system:
        who, now = actor(system, by), system.clock.now()
        if received_on is not None:
            said["received_at"] = min(now, _noon(received_on)).isoformat()
        body = json_of.dumps(said, ensure_ascii=False, sort_keys=True).encode()
        read = read_form(body, now.date())
        if isinstance(read, Faulty):
            first = read.problems[0]
            raise Stop(f"{first.reason}.", field=first.field, remedy=first.remedy, code="referral_faulty", status=f.USAGE)
        door = door_of(system)
        try:
            door.referrals.expect_plan(plan)
            taken = door.referrals.take(body, source_id=BY_STAFF, control_id=id_, by=who)
        finally:
            door.close()
        if json:
            f.as_json(taken)
        elif taken.status is Status.APPLIED:
            due = f"; the plan answers by {f.local(taken.answer_due_at, due=True)}" if taken.answer_due_at else ""
            f.out.print(f"{plain(taken.reason).capitalize() or 'Referred'}: {taken.member}, {taken.episode}{due}.")
        elif taken.status is Status.DUPLICATE or taken.repeated:
            f.out.print("This referral was here before; nothing was done.")
        else:
            raise Stop(
                f"it waits: {plain(taken.reason)}.", field="referral", code=taken.reason,
                remedy=f"say whose it is with `throughline inbox resolve {taken.inbox_id}`, or refer again with the CIN",
            )  # fmt: skip


def import_referrals(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A file of referrals (CSV or XLSX).")],
    plan: Annotated[str, typer.Option(help="The health plan of rows that name none.")] = "default",
    by: As = None,
    json: Json = False,
) -> None:
    """Take a file of referrals. Rows that cannot be read are named; the others are taken.

    Columns: source, last name, birth date; also first name, CIN, phone, organisation, referred by, reason, urgency, populations,
    received on, id.

    Example:

        throughline import-referrals referrals-2026-11.csv --plan default --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            with f.progress("Rows", quiet=json) as bar:
                receipt = door.referrals.import_file(file.read_bytes(), plan=plan, by=actor(system, by), progress=bar)
        except FileRefused as refused:
            raise Stop(f"{refused}.", field="file", code="file_refused") from None
        finally:
            door.close()
    if json:
        f.as_json(receipt)
        return
    if receipt.duplicate:
        f.out.print("This file was here before.")
    f.out.print(
        f"{several(receipt.rows, 'row')}: {receipt.accepted} taken, {receipt.repeated} here before,"
        f" {receipt.waiting} wait for a person, {receipt.rejected} rejected."
    )
    rows = [(p.row, p.field, p.reason, p.remedy) for p in receipt.problems]
    if rows:
        f.table("Rejected", ("row", "field", "what is wrong", "what to do"), rows, empty="")


def referrals(
    state: Annotated[str | None, typer.Option(help="waits, approved, denied, withdrawn or not_asked.")] = None,
    source: Annotated[ReferralSource | None, typer.Option(help="Only from these referrers.")] = None,
    plan: Plan = None,
    member: Annotated[str | None, typer.Option(help="Only of this member: an id or a CIN.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those that the plan should have answered.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Referrals, the newest first: who referred, until when the plan answers, and what it said.

    Examples:

        throughline referrals --state waits

        throughline referrals --overdue --json
    """
    with f.opened() as system:
        page = queries_of(system).referrals(
            now=system.clock.now(), state=state, source=source.value if source else None, plan=plan,
            member=stream_of(system, member, kind="member") if member else None, overdue=overdue, limit=limit, cursor=cursor,
            names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (r.received_at, plain(r.source), r.organisation, r.member_name or f.short(r.member), f.short(r.episode), r.plan,
             r.urgency, r.populations, Text("overdue", "bold red") if r.overdue else f.coloured(r.state),
             f.local(r.answer_due_at, due=True), r.answered_on or "", r.answered_because or r.withdrawn_because,
             r.appeal_until or "", "yes" if r.repeats else "")
            for r in page.items
        ]  # fmt: skip
        columns = (
            "received", "source", "organisation", "member", "episode", "plan", "urgency", "populations", "state", "answer due",
            "answered", "reason", "appeal until", "repeats",
        )  # fmt: skip
        f.table("Referrals", columns, rows, empty="No referral fits.", note=note(system, page))


def ways_in(
    plan: Plan = None,
    since: Annotated[str | None, typer.Option(help="Episodes that began on this day or later.")] = None,
    json: Json = False,
) -> None:
    """From where members come: how many episodes began by each way in, and how many came to an enrolment.

    Example:

        throughline ways-in --since 2026-01-01
    """
    with f.opened() as system:
        found = queries_of(system).ways_in(since=_noon(since, time(0)) if since else None, plan=plan)
        if json:
            f.as_json(found)
            return
        rows = [
            (w.plan, plain(w.source), w.episodes, w.enrolled, f"{100 * w.enrolled / w.episodes:.0f} %", w.last_at) for w in found
        ]
        f.table("Ways in", ("plan", "source", "episodes", "enrolled", "share", "last"), rows, empty="No episode began.")


def _noon(day: str, at: time = time(12)) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(day), at, ZoneInfo(OFFICE_ZONE))
    except ValueError:
        raise Stop("is no day.", field="--received-on", remedy="write 2026-11-20", status=f.USAGE) from None


def disclosures(
    member: Annotated[str | None, typer.Argument(help="A member: an id or a CIN; left out: everybody's.")] = None,
    source: Annotated[str | None, typer.Option(help="Only what this hospital asked.")] = None,
    answer: Annotated[str | None, typer.Option(help="told or withheld.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Who asked whether a member is enrolled, and what they were told: each answer, with its number in the access log.

    Examples:

        throughline member disclosures 91234567A

        throughline member disclosures --answer withheld --json
    """
    with f.opened() as system:
        page = queries_of(system).disclosures(
            member=stream_of(system, member, kind="member") if member else None, source=source, status=answer, limit=limit,
            cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (d.answered_at, d.asked_by, d.member_name or f.short(d.member), f.coloured(d.answer), plain(d.why),
             d.lead_name or f.short(d.lead), d.evidence.replace("+", ", "), d.inquiry)
            for d in page.items
        ]  # fmt: skip
        columns = ("answered", "asked by", "member", "answer", "why not", "care manager named", "known by", "inquiry")
        f.table("Disclosures", columns, rows, empty="Nobody was told anything.", note=note(system, page))


def avoidable_visits(
    member: Annotated[
        str | None, typer.Argument(help="A member: an id or a CIN; left out: all whose visits are to be judged.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="open, avoidable or not_avoidable.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    unseal: Annotated[
        bool, typer.Option("--unseal", help="Show what the hospital says brought them: its reason and its diagnoses.")
    ] = False,
    json: Json = False,
) -> None:
    """Emergency visits and stays of members who came often: somebody says of each whether it could have been avoided.

    No message can show that, so `throughline record judge-visit` takes a person's word for each. What the hospital says brought
    them helps to judge; it may tell of substance use (42 CFR Part 2), and is shown with --unseal.

    Examples:

        throughline avoidable-visits --state open

        throughline avoidable-visits 91234567A --unseal
    """
    with f.opened() as system:
        page = queries_of(system).visits(
            member=stream_of(system, member, kind="member") if member else None,
            state=state,
            limit=limit,
            cursor=cursor,
            names=names,
            unseal=unseal,
        )
        if json:
            f.as_json(page)
            return
        rows = [
            (v.member_name or f.short(v.member), v.on_day.isoformat(), plain(v.kind), v.facility, plain(v.told_by), plain(v.judged),
             v.reason, v.judged_by_name or f.short(v.judged_by), v.visit,
             *((v.admit_reason, v.diagnoses) if unseal else ()))
            for v in page.items
        ]  # fmt: skip
        columns: tuple[str, ...] = ("member", "day", "kind", "facility", "told by", "judged", "reason", "by", "visit")
        columns += ("came for", "diagnoses") if unseal else ()
        f.table("Visits", columns, rows, empty="No visit has to be judged.", note=note(system, page))


def referral_proposals(
    state: Annotated[str | None, typer.Option(help="proposed, dismissed or withdrawn.")] = "proposed",
    member: Annotated[str | None, typer.Option(help="Only of this member: an id or a CIN.")] = None,
    plan: Plan = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """People whose episode is over and whose visits propose another one: refer them anew, or dismiss the proposal.

    Examples:

        throughline referral-proposals

        throughline referral-proposals --state dismissed --json
    """
    with f.opened() as system:
        page = queries_of(system).referral_proposals(
            state=state, member=stream_of(system, member, kind="member") if member else None, plan=plan, limit=limit, cursor=cursor,
            names=names,
        )  # fmt: skip
        if json:
            f.as_json(page)
            return
        rows = [
            (p.since, p.member_name or f.short(p.member), plain(p.population), f.coloured(p.state), p.reason,
             plain(p.closed_because.lower()), p.plan, p.policy, f.short(p.episode))
            for p in page.items
        ]  # fmt: skip
        columns = ("since", "member", "population of focus", "state", "reason", "closed as", "plan", "policy", "episode")
        f.table("Proposed referrals", columns, rows, empty="None is proposed.", note=note(system, page))


strangers_app = typer.Typer(
    help="People whom nobody knows and who come to hospitals again and again.", no_args_is_help=True, rich_markup_mode="rich"
)
StrangerId = Annotated[str, typer.Argument(help="As `throughline strangers list` shows it.")]
Rules = Annotated[str, typer.Option("--plan", help="The health plan whose rules screen them, and that they are referred to.")]


@strangers_app.command("list")
def list_strangers(plan: Rules = "default", names: Names = True, json: Json = False) -> None:
    """Whose waiting messages are so many visits that they might be referred; whoever came last first.

    Example:

        throughline strangers list --no-names
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            door.strangers.expect_plan(plan)
            found = door.strangers.candidates(plan=plan, names=names)
        finally:
            door.close()
        if json:
            f.as_json(found)
            return
        rows = [
            (s.id, s.person, s.populations, len(s.visits), ", ".join(f"{v.on} {plain(v.kind)}" for v in s.visits), s.facilities,
             ", ".join(map(plain, s.counties)), "yes" if s.with_cin else "no", s.last_at, s.dismissed)
            for s in found
        ]  # fmt: skip
        columns = ("id", "who", "populations", "visits", "when", "where", "if they live in", "CIN known", "last message",
                   "dismissed before")  # fmt: skip
        f.table("Strangers", columns, rows, empty="Nobody came so often.")


@strangers_app.command("refer")
def refer_stranger(
    stranger: StrangerId,
    plan: Rules = "default",
    reason: Annotated[str, typer.Option(help="Why they are referred.")] = "",
    by: As = None,
    json: Json = False,
) -> None:
    """Refer one of them. With a CIN they become a member, to whom their messages then belong.

    Example:

        throughline strangers refer 8f4a0f3c7a524d0f --plan default --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            taken = door.strangers.refer(stranger, plan=plan, by=actor(system, by), reason=reason)
        except UnknownStranger:
            raise Stop("is nobody's id now.", field="stranger", remedy="see `throughline strangers list`") from None
        finally:
            door.close()
        if json:
            f.as_json(taken)
        else:
            f.out.print(f"{taken.status.value}: {taken.member or plain(taken.reason)}")


@strangers_app.command("dismiss")
def dismiss_stranger(
    stranger: StrangerId,
    reason: Annotated[str, typer.Option(help="Why they are not referred.")],
    plan: Rules = "default",
    by: As = None,
    json: Json = False,
) -> None:
    """Do not refer one of them, until they come again.

    Example:

        throughline strangers dismiss 8f4a0f3c7a524d0f --reason "lives abroad" --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            door.strangers.dismiss(stranger, plan=plan, by=actor(system, by), reason=reason)
        except UnknownStranger:
            raise Stop("is nobody's id now.", field="stranger", remedy="see `throughline strangers list`") from None
        finally:
            door.close()
        f.done("Not shown again until they come again.", json=json, stranger=stranger, plan=plan)


def mount(app: typer.Typer) -> None:
    app.command("refer", rich_help_panel=PANEL)(refer)
    app.command("import-referrals", rich_help_panel=PANEL)(import_referrals)
    app.command("referrals", rich_help_panel=PANEL)(referrals)
    app.command("ways-in", rich_help_panel=PANEL)(ways_in)
    member_app.command("disclosures")(disclosures)
    app.command("avoidable-visits", rich_help_panel=PANEL)(avoidable_visits)
    app.command("referral-proposals", rich_help_panel=PANEL)(referral_proposals)
    app.add_typer(strangers_app, name="strangers", rich_help_panel=PANEL)

"""`assessment …`, `care-plan …` and `sharing`: reading what was answered and agreed, and who may be told of it.

What is written goes by `record` (begin-assessment, answer-assessment, care-plan …), like everything else.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from api.looking_back import instant_of
from domain.member.sharing import Audience
from projections.care_papers import AssessmentPaper, CarePlanPaper
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Names, Stop
from workers.cli.people import staff_of, stream_of
from workers.composition import System
from workers.services import projector_of, queries_of

assessment = typer.Typer(help="Assessments: how far each is, and what was answered.", no_args_is_help=True, rich_markup_mode="rich")
care_plan = typer.Typer(help="Care plans: goals, tasks, versions, copies, reviews.", no_args_is_help=True, rich_markup_mode="rich")

About = Annotated[str, typer.Argument(help="A member (id or CIN) or an episode.")]
SharedWith = Annotated[
    Audience | None, typer.Option("--shared-with", help="As this audience may see it; what is left out stands below, with why.")
]
Plan = Annotated[str | None, typer.Option(help="Only of this health plan.")]
CareManager = Annotated[str | None, typer.Option("--care-manager", help="Only of their members: a staff id or mail address.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="As it was on a day (its end) or at an instant.")]
KnownAt = Annotated[str | None, typer.Option("--known-at", help="As far as it was recorded by then.")]


@assessment.command("list")
def list_assessments(
    plan: Plan = None,
    care_manager: CareManager = None,
    status: Annotated[str | None, typer.Option(help="open, completed or abandoned.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Assessments: who saved last, and how far each is.

    Example:

        throughline assessment list --status open
    """
    with f.opened() as system:
        _caught_up(system, "assessments")
        page = queries_of(system).assessments(
            plan=plan, care_manager=_staff(system, care_manager), status=status, limit=limit, cursor=cursor, names=names
        )
        if json:
            return f.as_json(page)
        rows = [
            (a.status, a.member_name or f.short(a.member), f.short(a.episode), a.kind, a.questionnaire, a.answered, a.begun_at,
             a.saved_last_at, f.short(a.saved_last_by), a.completed_at)
            for a in page.items
        ]  # fmt: skip
        columns = ("status", "member", "episode", "kind", "questions", "answered", "begun", "saved last", "by", "completed")
        f.table("Assessments", columns, rows, empty="None was begun.", note=_more(page.next_cursor))


@assessment.command("show")
def show_assessment(
    about: About,
    id: Annotated[str | None, typer.Option("--assessment", help="Its id; left out: the open one, else the last.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only what must still be answered.")] = False,
    shared_with: SharedWith = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """The questions in plain words, each with its last answer, whose it is and of which day.

    Examples:

        throughline assessment show 91234567A

        throughline assessment show episode-1c2d3e4f --shared-with plan
    """
    with f.opened() as system:
        episode = stream_of(system, about, kind="episode")
        found = queries_of(system).assessment(
            episode, now=system.clock.now(), assessment=id, shared_with=shared_with, as_of=_instant(as_of, "--as-of"),
            known_at=_instant(known_at, "--known-at"), names=names,
        )  # fmt: skip
        if found is None:
            raise _none("assessment", "begin one with `throughline record begin-assessment`")
        if json:
            return f.as_json(found)
        _show_assessment(found, only_missing=missing)


@care_plan.command("list")
def list_care_plans(
    plan: Plan = None,
    care_manager: CareManager = None,
    task_of: Annotated[str | None, typer.Option("--task-of", help="With an open task of a team role, such as nurse.")] = None,
    due_before: Annotated[str | None, typer.Option("--due-before", help="With an open task due before this day.")] = None,
    copy_owed: Annotated[bool | None, typer.Option("--copy-owed/--copy-given", help="By whether the member has a copy.")] = None,
    reviewed: Annotated[bool | None, typer.Option("--reviewed/--not-reviewed", help="By whether it was reviewed.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """The care plans in force: goals and tasks, the copy, the clinical review.

    Example:

        throughline care-plan list --copy-owed
    """
    with f.opened() as system:
        _caught_up(system, "care_plans")
        page = queries_of(system).care_plans(
            plan=plan, care_manager=_staff(system, care_manager), task_of=task_of, due_before=_day(due_before),
            copy_owed=copy_owed, reviewed=reviewed, limit=limit, cursor=cursor, names=names,
        )  # fmt: skip
        if json:
            return f.as_json(page)
        rows = [
            (c.member_name or f.short(c.member), f.short(c.episode), c.version, c.written_at,
             f"{c.goals_met} of {c.goals_met + c.goals_open + c.goals_given_up}",
             f"{c.tasks_done} of {c.tasks_done + c.tasks_open}",
             c.next_due_on, c.copy_given_at or Text("owed", "yellow"), c.reviewed_at)
            for c in page.items
        ]  # fmt: skip
        columns = ("member", "episode", "version", "written", "goals met", "tasks done", "next due", "copy", "reviewed")
        f.table("Care plans", columns, rows, empty="None was written.", note=_more(page.next_cursor))


@care_plan.command("show")
def show_care_plan(
    about: About,
    version: Annotated[int | None, typer.Option(min=1, help="This version; left out: the one in force.")] = None,
    shared_with: SharedWith = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """A version of the care plan: goals, tasks, who has a copy, who reviewed it.

    Examples:

        throughline care-plan show 91234567A

        throughline care-plan show 91234567A --version 1

        throughline care-plan show 91234567A --shared-with family
    """
    with f.opened() as system:
        episode = stream_of(system, about, kind="episode")
        found = queries_of(system).care_plan(
            episode, now=system.clock.now(), version=version, shared_with=shared_with, as_of=_instant(as_of, "--as-of"),
            known_at=_instant(known_at, "--known-at"), names=names,
        )  # fmt: skip
        if found is None:
            raise _none("care plan", "write one with `throughline record care-plan`")
        if json:
            return f.as_json(found)
        _show_care_plan(found)


def sharing(
    about: Annotated[str, typer.Argument(help="A member: an id or a CIN.")],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    names: Names = True,
    json: Json = False,
) -> None:
    """Who may be told what of a member's care, and on whose word: people, authorities, written authorisations.

    Example:

        throughline sharing 91234567A
    """
    with f.opened() as system:
        member = stream_of(system, about, kind="member")
        found = queries_of(system).sharing(
            member, now=system.clock.now(), as_of=_instant(as_of, "--as-of"), known_at=_instant(known_at, "--known-at"), names=names
        )
        if json:
            return f.as_json(found)
        told = [(t.audience, *(_may(why) for why in (t.substance_use, t.mental_health, t.all_else))) for t in found.may_be_told]
        f.table("Who may be told", ("audience", "substance use", "mental health", "all else"), told, empty="")
        people = [
            (p.party, p.relation, p.name, p.phone, "decides by law" if p.decides else "",
             [f"{a.scope}{'' if a.holds else ' (does not hold)'}" for a in p.authorities])
            for p in found.parties
        ]  # fmt: skip
        f.table("People", ("id", "relation", "name", "phone", "", "authority shown"), people, empty="Nobody was named.")
        words = [
            (a.authorisation, a.content, a.recipients, a.given_by or "the member", a.since, a.expires_on, a.revoked_at,
             "stands" if a.stands else "does not stand")
            for a in found.authorisations
        ]  # fmt: skip
        columns = ("id", "content", "recipients", "given by", "since", "expires", "revoked", "")
        f.table("Authorisations", columns, words, empty="None was given.")


def _may(why: str) -> Text:
    return Text(why, "yellow") if why else Text("yes", "green")


def _show_assessment(found: AssessmentPaper, *, only_missing: bool) -> None:
    title = Text(f"{found.assessment}: {found.kind}, {found.questionnaire}, {found.status}", "bold")
    tree = Tree(title)
    ended = found.completed_at or found.abandoned_at
    tree.add(f"begun {f.local(found.begun_at)}" + (f", {found.status} {f.local(ended)}" if ended else ""))
    if found.shared_with:
        tree.add(f"as {found.shared_with.replace('_', ' ')} may see it")
    sections: dict[str, Tree] = {}
    for q in found.questions:
        if only_missing and q.question not in found.missing:
            continue
        branch = sections.get(q.section)
        if branch is None:
            branch = sections[q.section] = tree.add(Text(q.section.replace("_", " "), "bold"))
        marks = " (LTSS)" if q.ltss else ""
        node = branch.add(Text(f"{q.text}{marks}  ", "").append(q.question, "dim"))
        if q.withheld:
            node.add(Text(f"withheld: {q.withheld}", "yellow"))
        elif q.answered_at is not None:
            who = q.answered_by_name or f.short(q.answered_by)
            node.add(Text(q.answer or "(erased)", "green").append(f"  {who}, {f.local(q.answered_at)}", "dim"))
        elif q.question in found.missing:
            node.add(Text("must be answered" + (f": {', '.join(q.choices)}" if q.choices else ""), "red"))
    if found.missing:
        tree.add(Text(f"{len(found.missing)} required questions have no answer", "red"))
    f.tree(tree)


def _show_care_plan(found: CarePlanPaper) -> None:
    standing = "in force" if found.in_force else "replaced"
    tree = Tree(Text(f"Care plan, version {found.version} of {len(found.versions)} ({standing})", "bold"))
    who = found.written_by_name or f.short(found.written_by)
    took_part = found.member_took_part.replace("_", " ")
    tree.add(f"written {f.local(found.written_at)} by {who}; member's part: {took_part}")
    if found.carried_over_from:
        tree.add(f"carried over from {f.short(found.carried_over_from)}")
    if found.shared_with:
        tree.add(f"as {found.shared_with.replace('_', ' ')} may see it")
    for goal in found.goals:
        branch = tree.add(Text(f"{goal.text or '(erased)'}", "bold").append(f"  {goal.goal}, {goal.topic}, {goal.state}", "dim"))
        for task in (t for t in found.tasks if t.goal == goal.goal):
            done = f"done {task.done_on}" if task.done_on else f"due {task.due_on}"
            owner = task.owner_name or (f.short(task.owner) if task.owner.startswith("staff-") else task.owner.replace("_", " "))
            branch.add(Text(task.text or "(erased)").append(f"  {task.task}, {owner}, {done}", "dim"))
    for copy in found.copies:
        less = f", {len(copy.withheld)} left out" if copy.withheld else ""
        tree.add(f"copy to {copy.to.replace('_', ' ')} by {copy.how.replace('_', ' ')} {f.local(copy.at)}{less}")
    if found.in_force and found.copy_owed:
        tree.add(Text("the member has no copy of this version", "yellow"))
    for review in found.reviews:
        note = f": {review.note}" if review.note else ""
        by = review.by_name or f.short(review.by)
        tree.add(f"reviewed {f.local(review.at)} by {by} ({review.licence}), {review.outcome.replace('_', ' ')}{note}")
    for each in found.withheld:
        tree.add(Text(f"left out: {each.id} ({each.because})", "yellow"))
    f.tree(tree)


def mount(app: typer.Typer) -> None:
    app.command("sharing", rich_help_panel="Looking")(sharing)
    app.add_typer(assessment, name="assessment", rich_help_panel="Looking")
    app.add_typer(care_plan, name="care-plan", rich_help_panel="Looking")


def _caught_up(system: System, *models: str) -> None:
    projector_of(system).run_until_caught_up(*models)


def _staff(system: System, said: str | None) -> str | None:
    return None if said is None else staff_of(system, said)


def _more(cursor: str | None) -> str:
    return "" if cursor is None else f"More: --cursor {cursor}"


def _none(what: str, remedy: str) -> Stop:
    return Stop(f"The episode has no {what}, or had none by then.", field="id", remedy=remedy, code=f"no_{what.replace(' ', '_')}")


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        return instant_of(text)
    except ValueError:
        raise Stop("is no instant.", field=field, remedy="write 2026-11-20 or 2026-11-20T15:05", status=f.USAGE) from None


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Stop("is no day.", field="--due-before", remedy="write 2026-11-20", status=f.USAGE) from None

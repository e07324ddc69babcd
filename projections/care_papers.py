"""Assessment and care plan as they are read: on a day, as known on a day, and as they may be shown to somebody.

Lists come from the read models. A paper itself is folded from the log by the same functions that decide, so that what is shown and
what is decided cannot differ; texts are unsealed only here and only for the paper that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

from psycopg.rows import TupleRow

from domain.catalog import DECIDERS
from domain.core import StreamId, fold
from domain.episode.assessments import Assessment, assessments, questions_of
from domain.episode.assessments import withheld as answers_withheld
from domain.episode.care_plans import CarePlan, care_plans, shared
from domain.episode.state import Episode
from domain.member.sharing import PROTECTED, SCOPES, Audience, Content, Shares, withheld_because
from domain.questionnaires import Questionnaire
from domain.timeline import until
from eventlog.opening import PolicyShelf
from projections import assessments as assessment_directory
from projections.answers import BadFilter, Page
from projections.asking import LIMIT_DEFAULT, Ask, away, known
from projections.reader import Reader

AUDIENCES = tuple(a.value for a in Audience)

ASSESSMENTS = """SELECT a.episode, coalesce(e.member, ''), '', coalesce(e.plan, ''), coalesce(e.lead, ''), a.assessment, a.kind,
    a.questionnaire, a.policy, a.status, a.begun_at, a.begun_by, jsonb_array_length(a.answers), a.sittings, a.saved_last_at,
    a.saved_last_by, a.completed_at, a.completed_by, a.abandoned_at, a.abandoned_because
FROM read.assessments a LEFT JOIN read.episodes e ON e.key = a.episode"""

CARE_PLANS = """SELECT c.key, coalesce(e.member, ''), '', coalesce(e.plan, ''), coalesce(e.lead, ''), c.version, c.written_at,
    c.written_by, c.member_took_part, c.carried_over_from, c.goals_open, c.goals_met, c.goals_given_up, c.tasks_open, c.tasks_done,
    c.next_due_on, c.tasks_of, c.copy_given_at, c.copies, c.reviewed_at, c.reviewed_by, c.review_outcome
FROM read.care_plans c LEFT JOIN read.episodes e ON e.key = c.key"""

# --- answers -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AssessmentRow:
    """An assessment, without what it says. `status`: open, completed, abandoned."""

    episode: str
    member: str
    member_name: str
    plan: str
    lead: str
    assessment: str
    kind: str
    questionnaire: str
    policy: str
    status: str
    begun_at: datetime | None
    begun_by: str
    answered: int
    sittings: int
    saved_last_at: datetime | None
    saved_last_by: str
    completed_at: datetime | None
    completed_by: str
    abandoned_at: datetime | None
    abandoned_because: str


@dataclass(frozen=True, slots=True)
class CarePlanRow:
    """The care plan in force, without what it says. `tasks_of`: who owes its open tasks."""

    episode: str
    member: str
    member_name: str
    plan: str
    lead: str
    version: int
    written_at: datetime | None
    written_by: str
    member_took_part: str
    carried_over_from: str
    goals_open: int
    goals_met: int
    goals_given_up: int
    tasks_open: int
    tasks_done: int
    next_due_on: date | None
    tasks_of: tuple[str, ...]
    copy_given_at: datetime | None
    copies: int
    reviewed_at: datetime | None
    reviewed_by: str
    review_outcome: str


@dataclass(frozen=True, slots=True)
class QuestionPaper:
    """A question with its last answer. `answer` is empty where there is none, where the member was erased, or where it is withheld;
    `withheld` says why."""

    question: str
    section: str
    text: str
    kind: str
    choices: tuple[str, ...]
    required: bool
    ltss: bool
    sensitive: bool
    answer: str
    answered_at: datetime | None
    answered_by: str
    answered_by_name: str
    withheld: str


@dataclass(frozen=True, slots=True)
class AssessmentPaper:
    """An assessment with its questions and answers. `missing`: what must still be answered to complete it. `others`: the ids of the
    episode's other assessments, earliest first."""

    episode: str
    member: str
    assessment: str
    kind: str
    questionnaire: str
    policy: str
    status: str
    begun_at: datetime
    begun_by: str
    completed_at: datetime | None
    completed_by: str
    abandoned_at: datetime | None
    abandoned_because: str
    shared_with: str
    questions: tuple[QuestionPaper, ...]
    missing: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoalPaper:
    goal: str
    topic: str
    state: str
    text: str
    sensitive: bool


@dataclass(frozen=True, slots=True)
class TaskPaper:
    task: str
    goal: str
    owner: str
    owner_name: str
    due_on: date | None
    done_on: date | None
    text: str
    sensitive: bool


@dataclass(frozen=True, slots=True)
class CopyPaper:
    to: str
    how: str
    at: datetime
    by: str
    withheld: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReviewPaper:
    outcome: str
    licence: str
    at: datetime
    by: str
    by_name: str
    note: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A goal or task that `shared_with` may not be told of, with the reason: for staff, not for the copy."""

    id: str
    because: str


@dataclass(frozen=True, slots=True)
class CarePlanPaper:
    """A version of a care plan. `versions`: all there are. `copy_owed`: neither the member nor who decides for them has a copy."""

    episode: str
    member: str
    version: int
    versions: tuple[int, ...]
    in_force: bool
    written_at: datetime
    written_by: str
    written_by_name: str
    member_took_part: str
    carried_over_from: str
    goals: tuple[GoalPaper, ...]
    tasks: tuple[TaskPaper, ...]
    copy_owed: bool
    copy_given_at: datetime | None
    copies: tuple[CopyPaper, ...]
    reviews: tuple[ReviewPaper, ...]
    shared_with: str
    withheld: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class AuthorityPaper:
    """What a party showed. `holds`: on that day; a document that ran out, or was said to have ended, does not."""

    scope: str
    holds: bool


@dataclass(frozen=True, slots=True)
class PartyPaper:
    """Somebody in the member's life. `name` and `phone` only where they were asked for. `decides`: by law, in the member's
    place."""

    party: str
    relation: str
    name: str
    phone: str
    decides: bool
    authorities: tuple[AuthorityPaper, ...]


@dataclass(frozen=True, slots=True)
class AuthorisationPaper:
    """A written word. `given_by`: a party, or empty for the member."""

    authorisation: str
    content: str
    recipients: tuple[str, ...]
    given_by: str
    since: datetime
    expires_on: date | None
    revoked_at: datetime | None
    stands: bool


@dataclass(frozen=True, slots=True)
class TellPaper:
    """What an audience may be told: of substance use, of mental health, and of all the rest. Empty: they may; else why not."""

    audience: str
    substance_use: str
    mental_health: str
    all_else: str


@dataclass(frozen=True, slots=True)
class SharingPaper:
    """Who may be told what of a member's care on a day, and on whose word."""

    member: str
    parties: tuple[PartyPaper, ...]
    authorisations: tuple[AuthorisationPaper, ...]
    may_be_told: tuple[TellPaper, ...]


# --- questions -----------------------------------------------------------------------------------------------------------------


class CarePaperQueries(Reader):
    """Asks for assessments and care plans."""

    def assessments(
        self,
        *,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        status: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[AssessmentRow]:
        """Assessments by episode, without what they say. `status`: open, completed, abandoned."""
        ask = Ask(ASSESSMENTS)
        if status is not None:
            known("status", (status,), assessment_directory.STATUSES)
        ask.equal("e.plan", plan).equal("e.lead", care_manager).one_of("e.member", self._person(member)).equal("a.episode", episode)
        ask.equal("a.status", status).order("a.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: AssessmentRow(*row))
        return self._named(page, names, {"member_name": "member"})

    def care_plans(
        self,
        *,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        task_of: str | None = None,
        due_before: date | None = None,
        copy_owed: bool | None = None,
        reviewed: bool | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[CarePlanRow]:
        """The care plans in force, by episode. `task_of`: with an open task of a staff id or team role. `due_before`: with an open
        task that was due before that day."""
        ask = Ask(CARE_PLANS)
        ask.where("c.version > 0")
        ask.equal("e.plan", plan).equal("e.lead", care_manager).one_of("e.member", self._person(member)).equal("c.key", episode)
        ask.if_given("c.tasks_of @> ARRAY[%s]", task_of).if_given("c.next_due_on < %s", due_before)
        ask.equal("c.copy_given_at IS NULL", copy_owed).equal("c.reviewed_at IS NOT NULL", reviewed)
        ask.order("c.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _care_plan_row)
        return self._named(page, names, {"member_name": "member"})

    def assessment(
        self,
        episode: StreamId,
        *,
        now: datetime,
        assessment: str | None = None,
        shared_with: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        names: bool = False,
    ) -> AssessmentPaper | None:
        """One assessment with its answers: the one of that id, else the open one, else the last. None where there is none.

        `as_of`: what had been said by then; `known_at`: what was recorded by then. `shared_with`: as that audience may see it."""
        at = as_of or now
        audience = _audience(shared_with)
        with away():
            state = self._episode(episode, known_at)
            every = assessments(until(state.said, at))
            found = _chosen(every, assessment)
            if found is None:
                return None
            questionnaire = questions_of(found.questionnaire, self._shelf())
            member = self._member(state.member, known_at)
        paper = _assessment_paper(episode, state.member, found, questionnaire, audience, member, at)
        paper = replace(paper, others=tuple(a.id for a in every if a.id != found.id))
        if not names:
            return paper
        called = self.names([q.answered_by for q in paper.questions])
        named = tuple(replace(q, answered_by_name=called.get(q.answered_by, "")) for q in paper.questions)
        return replace(paper, questions=named)

    def care_plan(
        self,
        episode: StreamId,
        *,
        now: datetime,
        version: int | None = None,
        shared_with: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        names: bool = False,
    ) -> CarePlanPaper | None:
        """A version of the care plan with its texts; without `version` the one in force. None where there is none.

        `as_of`: as it was then; `known_at`: as it was known then. `shared_with`: as that audience may see it, and what is left
        out."""
        at = as_of or now
        audience = _audience(shared_with)
        with away():
            state = self._episode(episode, known_at)
            every = care_plans(until(state.said, at))
            found = next((p for p in reversed(every) if version is None or p.version == version), None)
            if found is None:
                return None
            member = self._member(state.member, known_at)
        paper = _care_plan_paper(episode, state.member, found, audience, member, at)
        paper = replace(paper, versions=tuple(p.version for p in every), in_force=found is every[-1])
        if not names:
            return paper
        called = self.names([paper.written_by, *(t.owner for t in paper.tasks), *(r.by for r in paper.reviews)])
        return replace(
            paper,
            written_by_name=called.get(paper.written_by, ""),
            tasks=tuple(replace(t, owner_name=called.get(t.owner, "")) for t in paper.tasks),
            reviews=tuple(replace(r, by_name=called.get(r.by, "")) for r in paper.reviews),
        )

    def sharing(
        self,
        member: StreamId,
        *,
        now: datetime,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        names: bool = False,
    ) -> SharingPaper:
        """Who may be told what of the member's care, and on whose word; empty where nothing was said."""
        at = as_of or now
        with away():
            shares = self._member(member, known_at)
        sharing, zone_name = shares.sharing, shares.timezone
        deciding = {p.id for p in sharing.decided_by_law(at)}
        return SharingPaper(
            member=member,
            parties=tuple(
                PartyPaper(
                    party=p.id,
                    relation=p.relation,
                    name=(p.name or "") if names else "",
                    phone=(p.phone or "") if names else "",
                    decides=p.id in deciding,
                    authorities=tuple(
                        AuthorityPaper(scope, sharing.holds_authority(p.id, scope, at, zone_name))
                        for scope in SCOPES
                        if sharing.last_said(p.id, scope, at) is not None
                    ),
                )
                for p in sharing.parties(at)
            ),
            authorisations=tuple(
                AuthorisationPaper(
                    authorisation=a.id,
                    content=a.content.value,
                    recipients=a.recipients,
                    given_by=a.given_by,
                    since=a.since,
                    expires_on=a.expires_on,
                    revoked_at=a.revoked_at if a.revoked_at is not None and a.revoked_at <= at else None,
                    stands=a.stands(at, zone_name),
                )
                for a in sharing.authorisations()
                if a.since <= at
            ),
            may_be_told=tuple(
                TellPaper(
                    audience.value,
                    *(withheld_because(topic, audience, sharing, at, zone_name) or "" for topic in (*PROTECTED, Content.CARE_PLAN)),
                )
                for audience in Audience
            ),
        )

    @cached_property
    def _shelf(self) -> PolicyShelf:
        """Where the questions stand: read anew only when another policy was adopted."""
        return PolicyShelf(self._log)

    def _episode(self, episode: StreamId, known_at: datetime | None) -> Episode:
        state = fold(DECIDERS["episode"], episode, self._log.read(episode, known_at=known_at)).state
        assert isinstance(state, Episode)
        return state

    def _member(self, member: StreamId, known_at: datetime | None) -> Shares:
        state: Shares = fold(DECIDERS["member"], member, self._log.read(member, known_at=known_at) if member else ()).state
        return state


def _care_plan_row(row: TupleRow) -> CarePlanRow:
    found: dict[str, Any] = dict(zip((f.name for f in fields(CarePlanRow)), row, strict=True))
    return CarePlanRow(**{**found, "tasks_of": tuple(found["tasks_of"])})


def _audience(shared_with: str | None) -> Audience | None:
    if shared_with is None:
        return None
    known("shared_with", (shared_with,), AUDIENCES)
    return Audience(shared_with)


def _chosen(every: tuple[Assessment, ...], id: str | None) -> Assessment | None:
    if id is not None:
        return next((a for a in every if a.id == id), None)
    return next((a for a in every if a.open), every[-1] if every else None)


def _assessment_paper(
    episode: StreamId,
    member_stream: StreamId,
    found: Assessment,
    questionnaire: Questionnaire | None,
    audience: Audience | None,
    member: Shares,
    at: datetime,
) -> AssessmentPaper:
    if questionnaire is None:
        raise BadFilter("assessment", f"its questions, {found.questionnaire}, were never adopted; adopt a policy that holds them")
    hidden = {} if audience is None else answers_withheld(questionnaire, audience, member.sharing, at, member.timezone)
    shown: list[QuestionPaper] = []
    for q in questionnaire.question:
        answer = found.answers.get(q.key)
        why = hidden.get(q.key)
        shown.append(
            QuestionPaper(
                question=q.key,
                section=q.section.value,
                text=q.text,
                kind=q.kind.value,
                choices=q.choices,
                required=q.required,
                ltss=q.ltss,
                sensitive=q.sensitive,
                answer="" if answer is None or why is not None else answer.text or "",
                answered_at=None if answer is None or why is not None else answer.at,
                answered_by="" if answer is None or why is not None else answer.author,
                answered_by_name="",
                withheld=why.value if why is not None else "",
            )
        )
    return AssessmentPaper(
        episode=episode,
        member=member_stream,
        assessment=found.id,
        kind=found.kind.value,
        questionnaire=found.questionnaire,
        policy=found.policy,
        status="open" if found.open else "completed" if found.completed_at else "abandoned",
        begun_at=found.begun_at,
        begun_by=found.begun_by,
        completed_at=found.completed_at,
        completed_by=found.completed_by,
        abandoned_at=found.abandoned_at,
        abandoned_because=found.abandoned_because,
        shared_with=audience.value if audience is not None else "",
        questions=tuple(shown),
        missing=tuple(q.key for q in found.missing(questionnaire)),
        others=(),
    )


def _care_plan_paper(
    episode: StreamId, member_stream: StreamId, found: CarePlan, audience: Audience | None, member: Shares, at: datetime
) -> CarePlanPaper:
    seen, left_out = (found, ()) if audience is None else shared(found, audience, member, at)
    return CarePlanPaper(
        episode=episode,
        member=member_stream,
        version=found.version,
        versions=(),
        in_force=True,
        written_at=found.written_at,
        written_by=found.written_by,
        written_by_name="",
        member_took_part=found.member_took_part,
        carried_over_from=found.carried_over_from,
        goals=tuple(GoalPaper(g.goal, g.topic, g.state.value, seen.texts.get(g.goal, ""), g.sensitive) for g in seen.goals),
        tasks=tuple(
            TaskPaper(t.task, t.goal, t.owner, "", t.due_on, t.done_on, seen.texts.get(t.task, ""), t.sensitive) for t in seen.tasks
        ),
        copy_owed=found.copy_given_at is None,
        copy_given_at=found.copy_given_at,
        copies=tuple(CopyPaper(c.to, c.how, c.at, c.by, c.withheld if audience is None else ()) for c in found.copies),
        reviews=tuple(ReviewPaper(r.outcome, r.licence.value, r.at, r.by, "", r.note or "") for r in seen.reviews),
        shared_with=audience.value if audience is not None else "",
        withheld=tuple(LeftOut(w.id, w.because.value) for w in left_out),
    )

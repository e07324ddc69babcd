"""The reading addresses: the queries of projections/queries.py, the member as they were, and what is owed with every reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from api.looking_back import Explanation, MemberThen, Nobody, explain, instant_of, member_then
from api.offering import READERS
from api.open_matters import MATTERS_MAX, OPERATIONS, Matter, MatterKind, counted, open_matters
from api.problems import Problem
from api.security import Use, only
from api.tokens import Caller
from api.year import YearThen, years_then
from domain.staff.facts import Role
from projections.answers import (
    Deadline,
    EpisodeRow,
    InboxCount,
    InboxRow,
    MemberCard,
    MemberRow,
    MessageRow,
    PolicyRow,
    ProcessRow,
    StaffRow,
    TimelineEntry,
    TransitionRow,
    WorkItem,
)
from projections.answers_of_the_year import ContactRow, FollowUpRow, PopulationRow
from projections.avoidable_queries import ReferralProposal, UtilisationVisit
from projections.disclosure_queries import Disclosure
from projections.queries import Page, Queries
from projections.referral_queries import ReferralAnswer

STREAM = r"^[a-z]{2,20}-[0-9A-Za-z-]{1,64}$"
MEMBER = r"^member-[0-9A-Za-z-]{1,64}$"

DESCRIBED = {
    "plan": "Of this health plan",
    "care_manager": "Owed by this member of staff, or to members whose lead they are: a staff stream id",
    "kind": "Of this kind",
    "rule": "The beginning of a rule's name, such as initial_contact",
    "member": "Of this member: a member stream id",
    "process": "Of this process: its stream id",
    "subject": "About this stream, such as a stay",
    "episode": "Of this episode: its stream id",
    "staff": "This member of staff",
    "due_after": "Due at this instant or later",
    "due_before": "Due before this instant",
    "overdue": "Only what is overdue",
    "states": "Only in these states",
    "status": "Only in this status",
    "verdicts": "Only with these verdicts",
    "governing": "Only those that count, or only those that are computed beside them",
    "late_on_arrival": "Only those whose due had passed when we learned of them",
    "limit": "At most so many",
    "cursor": "Where the last page ended: its `next`",
    "names": "Unseal people's names for this page",
    "unseal": "Unseal what is personal for this page",
    "as_of": "Only what had occurred by then",
    "known_at": "Only what was recorded by then",
    "since": "From this instant on",
    "until": "Before this instant",
    "kinds": "Only streams of these kinds",
    "order": "occurred: in the order of the world; recorded: in the order of our learning",
    "newest_first": "The newest first",
    "role": "Only people in this role",
    "absent_on": "Only people away on this local day",
    "working_on": "Only people at work on this local day",
    "received_after": "Received at this instant or later",
    "received_before": "Received before this instant",
    "source": "From this source",
    "reason": "For this reason",
    "flag": "Only messages with this flag, such as facility_unknown",
    "stuck": "Only those that are stuck, or only the others",
    "failing": "Only those that fail at present, or only the others",
    "done": "Only those that ended, or only the others; left out: only the others",
    "state": "Only in this state",
    "recipient": "To this recipient",
    "unacknowledged": "Only alerts that nobody has seen",
    "tier": "Only in this tier: the one that holds, found or set by hand",
    "tier_overridden": "Only whose tier was set by hand, or only the others",
    "step_undone": "Only where this step of the enrolment is undone",
    "no_contact_days": "Nobody spoke with them or their caregiver for so many days",
    "authorised_before": "What is authorised ends before this day, or nothing is authorised",
    "conflict_open": "Only with a conflict that nobody settled, or only the others",
    "population": "Only this population of focus",
    "by": "Recorded by this member of staff: a staff stream id",
    "standing": "counts, awaits_approval, rejected or struck_out",
    "asked": "Only of members whose visits somebody is asked to judge, or only of the others; with a member: all of theirs",
    "two_way": "Only live exchanges with the member or their caregiver, or only the others",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A query as it is offered. `fixed`: parameters that stand in the path; `hidden`: those that may not stand in an address."""

    path: str
    method: str
    answer: type
    summary: str
    tag: str
    roles: tuple[Role, ...] = READERS
    fixed: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


SEARCHED = ("text", "cin", "birth_date")
"""What names a person is searched by a POST: addresses end up in the logs of every proxy on the way."""

QUESTIONS = (
    Question("/worklist", "worklist", WorkItem, "What is owed, by the last moment at which it can be done", "Worklist"),
    Question("/deadlines", "deadlines", Deadline, "Every due that was ever set, with its verdict", "Worklist"),
    Question("/transitions", "transitions", TransitionRow, "Stays in transitional care, with what is owed after each", "Worklist"),
    Question("/members", "members", MemberRow, "Members", "Members", hidden=SEARCHED),
    Question("/members/{member}/timeline", "timeline", TimelineEntry, "Everything that was recorded about a member", "Members",
             fixed=("member",)),
    Question("/streams/{stream}/timeline", "stream_timeline", TimelineEntry, "One stream", "Members", fixed=("stream",)),
    Question("/episodes", "episodes", EpisodeRow, "Episodes, by the day of assignment", "Episodes"),
    Question("/follow-ups", "follow_ups", FollowUpRow, "Where each member stands in the year after enrolment", "Follow-up"),
    Question("/referrals", "referrals", ReferralAnswer, "Referrals, the newest first, and what the plan said to them", "Ways in"),
    Question("/utilisation-visits", "visits", UtilisationVisit, "Emergency visits and stays that somebody has to judge", "Ways in"),
    Question("/referral-proposals", "referral_proposals", ReferralProposal, "Whom repeated visits propose for a referral",
             "Ways in"),
    Question("/disclosures", "disclosures", Disclosure, "What hospitals were told of members, or were not told", "Audit"),
    Question("/populations", "populations", PopulationRow, "Populations of focus, and what staff said of them", "Follow-up"),
    Question("/contacts", "contacts", ContactRow, "Every exchange and every try, the newest first", "Follow-up"),
    Question("/staff", "staff", StaffRow, "Who works here", "Staff"),
    Question("/messages", "messages", MessageRow, "What was to be sent, and what became of it", "Messages"),
    Question("/inbox", "inbox", InboxRow, "Messages at the front door, without their content", "Inbox", OPERATIONS),
    Question("/processes", "processes", ProcessRow, "The long-running processes, as each was last advanced", "Processes",
             OPERATIONS),
)  # fmt: skip

NAME_READERS = (Role.CARE_MANAGER, Role.SUPERVISOR, Role.AUDITOR)


def routes() -> APIRouter:
    """One GET for each question, and those that need more than a query."""
    router = APIRouter()
    for question in QUESTIONS:
        router.add_api_route(
            question.path, _endpoint(question), methods=["GET"], summary=question.summary, tags=[question.tag],
            response_model=page_of(question.answer), name=question.method,
        )  # fmt: skip
    router.include_router(_single)
    return router


def page_of(answer: type) -> Any:
    """The model of a page of answers."""
    return create_model(
        f"{answer.__name__}Page", __doc__="Some of the answers, in order.", items=(list[answer], ...),  # type: ignore[valid-type]
        next=(str | None, None),
    )  # fmt: skip


def _endpoint(question: Question) -> Callable[..., Any]:
    method = getattr(Queries, question.method)
    hints = get_type_hints(method)
    wanted = {n: p for n, p in inspect.signature(method).parameters.items() if n not in ("self", "now", *question.hidden)}

    def ask(services: Use, caller: Caller, response: Response, **given: Any) -> dict[str, Any]:
        may_see_names(caller, names=bool(given.get("names")) or bool(given.get("unseal")))
        if "now" in hints:
            given["now"] = services.clock.now()
        page: Page[Any] = getattr(services.queries, question.method)(**given)
        return {"items": page.items, "next": page.next_cursor}

    parameters = [
        inspect.Parameter("services", inspect.Parameter.KEYWORD_ONLY, annotation=Use),
        inspect.Parameter("caller", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Caller, Depends(only(*question.roles))]),
        inspect.Parameter("response", inspect.Parameter.KEYWORD_ONLY, annotation=Response),
    ]
    for name, parameter in wanted.items():
        annotation = _http_type(hints[name])
        if name in question.fixed:
            pattern = MEMBER if name == "member" else STREAM
            described: Any = Annotated[annotation, Path(pattern=pattern)]
            default: Any = inspect.Parameter.empty
        else:
            asked = Query(description=DESCRIBED[name], ge=1, le=1000) if name == "limit" else Query(description=DESCRIBED[name])
            described = Annotated[annotation, asked]
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=described, default=default))
    ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return ask


def _http_type(hint: Any) -> Any:
    if get_origin(hint) is Sequence:
        return list[str]
    if datetime in (hint, *get_args(hint)) and date not in get_args(hint):
        return AwareDatetime | None
    return hint


def may_see_names(caller: Caller, *, names: bool) -> None:
    if names and caller.role not in NAME_READERS:
        raise Problem(403, "names_not_allowed", "Your token's role may not see names; ask without them.", "names")


Reader = Annotated[Caller, Depends(only(*READERS))]
Operator = Annotated[Caller, Depends(only(*OPERATIONS))]
MemberId = Annotated[str, Path(pattern=MEMBER, description="A member stream id")]
ProcessId = Annotated[str, Path(pattern=STREAM, description="A process's stream id")]
Names = Annotated[bool, Query(description=DESCRIBED["names"])]
When = Annotated[str | None, Query(description="A day (its end) or an instant; left out: now", examples=["2026-11-20"])]

_single = APIRouter()


class FrontDesk(BaseModel):
    """What the front door leaves for a person, the most pressing first. `counts`: how many of each kind, messages one by one."""

    items: list[Matter]
    counts: dict[str, int]


@_single.get("/worklist/front-door", tags=["Worklist"], summary="What the front door leaves for a person, and what to do about it")
def front_door(
    services: Use,
    caller: Reader,
    plan: Annotated[str | None, Query(max_length=64, description="Only what is known to be of this health plan")] = None,
    kind: Annotated[MatterKind | None, Query(description="Only of this kind")] = None,
    limit: Annotated[int, Query(ge=1, le=MATTERS_MAX, description="At most so many items; the counts are of all")] = 200,
    names: Names = False,
) -> FrontDesk:
    """Silent feeds, files that stopped, questions about who somebody is, people whom nobody knows and who come often, dead letters,
    messages that wait; and what messages made a process ask for, which `/worklist` owes as well (`process`, `key`). Each with why,
    since when, and what can be done: as a command and as a call. What your role may not see or do is left out."""
    may_see_names(caller, names=names)
    now = services.clock.now()
    found = open_matters(services.door, services.queries, now, role=caller.role, kind=kind, plan=plan, names=names)
    return FrontDesk(items=list(found[:limit]), counts=counted(found))


@_single.get("/members/{member}", tags=["Members"], summary="A member with all their episodes")
def member(services: Use, caller: Reader, response: Response, member: MemberId, names: Names = False) -> MemberCard:
    may_see_names(caller, names=names)
    card = services.queries.member(member, names=names)
    if card is None:
        raise _nobody("member")
    response.headers["ETag"] = f'"{services.gateway.log.version(member)}"'
    return card


class Search(BaseModel):
    """Whom to look for: the beginning of a name, a CIN, or a birth date with one of them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "okaf", "birth_date": "1961-07-09"}]})

    text: str | None = Field(None, min_length=1, max_length=80)
    cin: str | None = Field(None, min_length=9, max_length=20)
    birth_date: date | None = None
    limit: int = Field(50, ge=1, le=1000)
    cursor: str | None = None
    names: bool = False


@_single.post(
    "/members/searches", tags=["Members"], summary="Members by name, CIN or birth date", response_model=page_of(MemberRow)
)
def search(services: Use, caller: Reader, said: Search) -> dict[str, Any]:
    """A POST, so that nothing that names a person stands in an address."""
    may_see_names(caller, names=said.names)
    page = services.queries.members(**said.model_dump())
    return {"items": page.items, "next": page.next_cursor}


@_single.get("/members/{member}/history", tags=["Members"], summary="The member as they were, as staff knew it")
def history(
    services: Use, caller: Reader, member: MemberId, as_of: When = None, known_at: When = None, names: Names = False
) -> MemberThen:
    """Folded from the log itself: `as_of` is the day in the world, `known_at` what had been recorded by then."""
    may_see_names(caller, names=names)
    now = services.clock.now()
    try:
        then = member_then(
            services.gateway.log, member, as_of=_instant(as_of, now, "as_of"), known_at=_instant(known_at, now, "known_at"),
            names=names,
        )  # fmt: skip
    except Nobody as nobody:
        raise Problem(404, "unknown_member", str(nobody), "member") from None
    return then


@_single.get("/members/{member}/year", tags=["Follow-up"], summary="Tier, plan and all of the year on a day, and why")
def year(services: Use, caller: Reader, member: MemberId, as_of: When = None, known_at: When = None) -> list[YearThen]:
    """Every episode of the member, the newest first: who led, which status, tier (rule version and evidence), cadence, steps of the
    enrolment, authorisation, assessment, care plan, populations of focus. `as_of` is the day in the world, `known_at` what had been
    recorded by then."""
    now = services.clock.now()
    if not services.gateway.log.version(member):
        raise _nobody("member")
    return list(
        years_then(services.gateway.log, member, as_of=_instant(as_of, now, "as_of"), known_at=_instant(known_at, now, "known_at"))
    )


@_single.get("/members/{member}/explanation", tags=["Worklist"], summary="What is owed to a member, and why")
def explain_member(services: Use, caller: Reader, member: MemberId) -> list[Explanation]:
    return _explained(services, member)


@_single.get("/processes/{process}/explanation", tags=["Worklist"], summary="What a process owes, and why")
def explain_process(services: Use, caller: Reader, process: ProcessId) -> list[Explanation]:
    """What is owed, by when, under which rule and policy version, from which events, what happens next and when."""
    return _explained(services, process)


@_single.get("/processes/{process}", tags=["Processes"], summary="One process")
def process(services: Use, caller: Operator, process: ProcessId) -> ProcessRow:
    found = services.queries.process(process, now=services.clock.now())
    if found is None:
        raise _nobody("process")
    return found


@_single.get("/episodes/{episode}", tags=["Episodes"], summary="One episode")
def episode(
    services: Use, caller: Reader, response: Response, episode: Annotated[str, Path(pattern=STREAM)], names: Names = False
) -> EpisodeRow:
    may_see_names(caller, names=names)
    found = services.queries.episode(episode, names=names)
    if found is None:
        raise _nobody("episode")
    response.headers["ETag"] = f'"{services.gateway.log.version(episode)}"'
    return found


@_single.get("/policies", tags=["Policies"], summary="The policy versions that were adopted")
def policies(
    services: Use, caller: Reader, plan: Annotated[str | None, Query(description=DESCRIBED["plan"])] = None
) -> list[PolicyRow]:
    return list(services.queries.policies(plan=plan))


@_single.get("/inbox-counts", tags=["Inbox"], summary="How many messages stand in each status, and since when the oldest does")
def inbox_counts(services: Use, caller: Operator) -> list[InboxCount]:
    return list(services.queries.inbox_counts(now=services.clock.now()))


def _explained(services: Use, stream: str) -> list[Explanation]:
    try:
        return list(explain(services.gateway.log, (stream,), now=services.clock.now()))
    except Nobody:
        raise _nobody("stream") from None


def _nobody(what: str) -> Problem:
    return Problem(404, f"unknown_{what}", f"There is no such {what}; the lists show which there are.", what)


def _instant(text: str | None, now: datetime, field: str) -> datetime:
    if text is None:
        return now
    try:
        return instant_of(text)
    except ValueError:
        raise Problem(422, "instant_faulty", "Write a day (2026-11-20) or an instant (2026-11-20T15:00-08:00).", field) from None

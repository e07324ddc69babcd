"""The addresses of assessments and care plans: lists of how far each is, and the papers themselves, as somebody may see them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.looking_back import instant_of
from api.problems import Problem
from api.reading import DESCRIBED, MEMBER, STREAM, Names, Reader, When, may_see_names, page_of
from api.security import Use
from domain.member.sharing import Audience
from projections.care_papers import AssessmentPaper, AssessmentRow, CarePlanPaper, CarePlanRow, SharingPaper

routes = APIRouter()

TAG = "Assessment and care plan"

EpisodeId = Annotated[str, Path(pattern=STREAM, description="An episode's stream id")]
SharedWith = Annotated[
    Audience | None,
    Query(description="As this audience may see it: what is not authorised is left out, with the reason. Left out: all of it"),
]
Plan = Annotated[str | None, Query(description=DESCRIBED["plan"])]
CareManager = Annotated[str | None, Query(description="Of members whose lead they are: a staff stream id")]
Member = Annotated[str | None, Query(description=DESCRIBED["member"])]
Limit = Annotated[int, Query(description=DESCRIBED["limit"], ge=1, le=1000)]
Cursor = Annotated[str | None, Query(description=DESCRIBED["cursor"])]


@routes.get(
    "/assessments",
    tags=[TAG],
    summary="Assessments, without what they say",
    response_model=page_of(AssessmentRow),
)
def assessments(
    services: Use,
    caller: Reader,
    plan: Plan = None,
    care_manager: CareManager = None,
    member: Member = None,
    status: Annotated[str | None, Query(description="open, completed or abandoned")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = False,
) -> dict[str, object]:
    """How many questions have an answer, who saved last, and which were completed when."""
    may_see_names(caller, names=names)
    page = services.queries.assessments(
        plan=plan, care_manager=care_manager, member=member, status=status, limit=limit, cursor=cursor, names=names
    )
    return {"items": page.items, "next": page.next_cursor}


@routes.get(
    "/care-plans",
    tags=[TAG],
    summary="Care plans in force, without what they say",
    response_model=page_of(CarePlanRow),
)
def care_plans(
    services: Use,
    caller: Reader,
    plan: Plan = None,
    care_manager: CareManager = None,
    member: Member = None,
    task_of: Annotated[str | None, Query(description="With an open task of this staff id or team role, such as nurse")] = None,
    due_before: Annotated[date | None, Query(description="With an open task that was due before this day")] = None,
    copy_owed: Annotated[bool | None, Query(description="Only those of which the member has no copy, or only the others")] = None,
    reviewed: Annotated[bool | None, Query(description="Only those that had their clinical review, or only those without")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    names: Names = False,
) -> dict[str, object]:
    """Goals and tasks open and done, the copy given, the clinical review."""
    may_see_names(caller, names=names)
    page = services.queries.care_plans(
        plan=plan, care_manager=care_manager, member=member, task_of=task_of, due_before=due_before, copy_owed=copy_owed,
        reviewed=reviewed, limit=limit, cursor=cursor, names=names,
    )  # fmt: skip
    return {"items": page.items, "next": page.next_cursor}


@routes.get("/episodes/{episode}/assessment", tags=[TAG], summary="An assessment with its answers")
def assessment(
    services: Use,
    caller: Reader,
    response: Response,
    episode: EpisodeId,
    assessment: Annotated[str | None, Query(description="Its id; left out: the open one, else the last")] = None,
    shared_with: SharedWith = None,
    as_of: When = None,
    known_at: When = None,
    names: Names = False,
) -> AssessmentPaper:
    """Every question in plain words with its last answer, whose it is and of which day; and which must still be answered."""
    may_see_names(caller, names=True)
    found = services.queries.assessment(
        episode, now=services.clock.now(), assessment=assessment, shared_with=_said(shared_with), as_of=_instant(as_of, "as_of"),
        known_at=_instant(known_at, "known_at"), names=names,
    )  # fmt: skip
    if found is None:
        raise _none("assessment", "begin one first")
    response.headers["ETag"] = f'"{services.gateway.log.version(episode)}"'
    return found


@routes.get("/episodes/{episode}/care-plan", tags=[TAG], summary="A care plan, any version of it")
def care_plan(
    services: Use,
    caller: Reader,
    response: Response,
    episode: EpisodeId,
    version: Annotated[int | None, Query(description="Of this version; left out: the one in force", ge=1, le=10_000)] = None,
    shared_with: SharedWith = None,
    as_of: When = None,
    known_at: When = None,
    names: Names = False,
) -> CarePlanPaper:
    """Goals, tasks and their words; who has a copy, who reviewed it. `withheld` is for staff: it is no part of a copy."""
    may_see_names(caller, names=True)
    found = services.queries.care_plan(
        episode, now=services.clock.now(), version=version, shared_with=_said(shared_with), as_of=_instant(as_of, "as_of"),
        known_at=_instant(known_at, "known_at"), names=names,
    )  # fmt: skip
    if found is None:
        raise _none("care_plan", "write one first, or ask for another version")
    response.headers["ETag"] = f'"{services.gateway.log.version(episode)}"'
    return found


@routes.get("/members/{member}/sharing", tags=[TAG], summary="Who may be told what of a member's care, and on whose word")
def sharing(
    services: Use,
    caller: Reader,
    member: Annotated[str, Path(pattern=MEMBER, description="A member stream id")],
    as_of: When = None,
    known_at: When = None,
    names: Names = False,
) -> SharingPaper:
    """The people in the member's life, the authority that they showed, the written words, and what follows for each audience."""
    may_see_names(caller, names=names)
    return services.queries.sharing(
        member, now=services.clock.now(), as_of=_instant(as_of, "as_of"), known_at=_instant(known_at, "known_at"), names=names
    )


def _said(audience: Audience | None) -> str | None:
    return None if audience is None else audience.value


def _none(what: str, remedy: str) -> Problem:
    return Problem(404, f"no_{what}", f"The episode has none, or had none by then; {remedy}.", "episode")


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        return instant_of(text)
    except ValueError:
        raise Problem(422, "instant_faulty", "Write a day (2026-11-20) or an instant (2026-11-20T15:00-08:00).", field) from None

"""The addresses about caseloads: who carries whom, who was over the cap on a day, who has nobody, and who could take them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.looking_back import instant_of
from api.placing import NoEpisode, Placing, placing
from api.problems import Problem
from api.reading import DESCRIBED, STREAM, Names, Reader, When, may_see_names, page_of
from api.security import Use
from projections.caseload_answers import Caseload, WithoutLead

routes = APIRouter()

Plan = Annotated[str | None, Query(description=DESCRIBED["plan"])]


@routes.get("/caseload", tags=["Worklist"], summary="What each lead care manager has, or had on a day")
def caseload(
    services: Use,
    caller: Reader,
    plan: Plan = None,
    as_of: When = None,
    known_at: When = None,
    over_cap: Annotated[bool, Query(description="Only who carries more than the cap, or somebody taken beyond it")] = False,
    names: Names = False,
) -> list[Caseload]:
    """Points beside the raw ratio, by tier; who was taken beyond the cap, who allowed it and why."""
    may_see_names(caller, names=names)
    then, known = (None if text is None else _instant(text, field) for text, field in ((as_of, "as_of"), (known_at, "known_at")))
    return list(
        services.queries.caseload(now=services.clock.now(), plan=plan, as_of=then, known_at=known, over_cap=over_cap, names=names)
    )


@routes.get(
    "/members-without-lead",
    tags=["Worklist"],
    summary="Members in care whose care nobody leads",
    response_model=page_of(WithoutLead),
)
def members_without_lead(
    services: Use,
    caller: Reader,
    plan: Plan = None,
    limit: Annotated[int, Query(description=DESCRIBED["limit"], ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description=DESCRIBED["cursor"])] = None,
    names: Names = False,
) -> dict[str, object]:
    """Never assigned, released, or led by somebody whose last day has passed; with what is owed to them next."""
    may_see_names(caller, names=names)
    page = services.queries.without_lead(now=services.clock.now(), plan=plan, limit=limit, cursor=cursor, names=names)
    return {"items": page.items, "next": page.next_cursor}


@routes.get("/episodes/{episode}/lead-offers", tags=["Episodes"], summary="Who could lead the member's care")
def lead_offers(services: Use, caller: Reader, episode: Annotated[str, Path(pattern=STREAM)], names: Names = False) -> Placing:
    """Care managers who are there: who speaks the member's language first, then who has most room. The county is not asked for."""
    may_see_names(caller, names=names)
    try:
        return placing(services.gateway, services.queries, episode, now=services.clock.now(), names=names)
    except NoEpisode:
        raise Problem(404, "unknown_episode", "There is no such open episode; the lists show which there are.", "episode") from None


def _instant(text: str, field: str) -> datetime:
    try:
        return instant_of(text)
    except ValueError:
        raise Problem(422, "instant_faulty", "Write a day (2026-11-20) or an instant (2026-11-20T15:00-08:00).", field) from None

"""What goes back to hospitals: whether their patient is enrolled, and whom to name on the discharge document (domain.md 3.1)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.problems import Problem, unavailable
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.answering.inquiries import Inquiry, NotAllowed, Told, TooMany
from intake.applying.apply import Busy
from intake.senders.clients import INQUIRES
from projections.disclosure_queries import Asking

routes = APIRouter()

Line = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]

QUESTION: dict[str, Any] = {"cin": "91234567A", "family_name": "Okafor", "given_name": "Ines", "birth_date": "1961-07-09"}
BY_NUMBER: dict[str, Any] = {"record_number": "MRN-1001", "family_name": "Okafor", "birth_date": "1961-07-09"}
TOLD: dict[str, Any] = {
    "inquiry_id": "5d1f2a60-0000-4000-8000-000000000003",
    "answered_at": "2026-11-20T18:30:00Z",
    "answer": "enrolled",
    "care_manager": {"name": "Dana Whitfield", "phone": "+1 415 555 0177"},
    "programme": {"name": "Enhanced Care Management", "phone": "+1 415 555 0100"},
}
NOTHING: dict[str, Any] = {
    "inquiry_id": "5d1f2a60-0000-4000-8000-000000000004",
    "answered_at": "2026-11-20T18:31:00Z",
    "answer": "nothing_to_tell",
    "care_manager": None,
    "programme": None,
}


class WhoIsIt(BaseModel):
    """Your patient: last name and birth date, with the CIN or with your own record number (both, where you have both). Anything
    less is answered as for somebody unknown."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [QUESTION, BY_NUMBER]})

    family_name: Line = ""
    birth_date: date | None = None
    given_name: Line = ""
    cin: Annotated[str, StringConstraints(max_length=20, strip_whitespace=True)] = ""
    record_number: Annotated[str, StringConstraints(max_length=100, strip_whitespace=True)] = ""
    authority: Annotated[str, StringConstraints(max_length=100, strip_whitespace=True)] = Field(
        "", description="Whose number it is, as your messages call it in PID-3.4; left out: yours"
    )


class Named(BaseModel):
    """A name and a phone number for the discharge document."""

    name: str
    phone: str


class Answer(BaseModel):
    """`nothing_to_tell` does not say that the person is unknown or not enrolled; it says nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [TOLD, NOTHING]})

    inquiry_id: UUID = Field(description="Number of the answer in the access log")
    answered_at: datetime
    answer: Literal["enrolled", "nothing_to_tell"]
    care_manager: Named | None = Field(None, description="Who leads the member's care; none where nobody does yet")
    programme: Named | None = Field(None, description="Whom to call otherwise")


@routes.post(
    "/enrolment-inquiries",
    tags=["For hospitals"],
    summary="Is our patient enrolled, and who leads their care? For the discharge document",
    responses={
        403: {"description": "Your source may not ask; the registry says who may"},
        429: {"description": "Asked too often within the hour; Retry-After says when to go on"},
        503: {"description": "Nothing could be looked up or written down, so nothing was answered"},
    },
)
def ask(services: Use, caller: Annotated[Caller, Depends(only(Role.HOSPITAL, scopes=(INQUIRES,)))], said: WhoIsIt) -> Answer:
    """A POST, so that nothing that names a person stands in an address. Every answer is recorded before it is given."""
    source = services.sources.named(caller.source or "")
    try:
        if source is None:
            raise NotAllowed
        told = services.inquiries.ask(source, Inquiry(**said.model_dump()))
    except NotAllowed:
        raise Problem(403, "source_may_not_ask", "Your source may not ask this; the programme's operator can allow it.") from None
    except TooMany as many:
        retry = {"Retry-After": str(many.retry_after_seconds)}
        raise Problem(429, "too_many_inquiries", "You asked as often as you may within the hour.", headers=retry) from None
    except (LogAway, CannotUnwrap, Busy, psycopg.OperationalError, PoolTimeout):
        raise unavailable("database") from None
    return _answer(told, services.programme)


@routes.get("/inquiry-counts", tags=["Audit"], summary="How often each source asked about patients, and what it was answered")
def counts(
    services: Use,
    caller: Annotated[Caller, Depends(only(Role.AUDITOR, Role.SUPERVISOR, Role.OPERATOR))],
    since: Annotated[datetime | None, Query(description="Asked at this instant or later")] = None,
    source: Annotated[str | None, Query(description="By this source")] = None,
) -> list[Asking]:
    """The access log knows no persons; what was told of whom are the disclosures."""
    return list(services.queries.inquiries(since=since, source=source))


def _answer(told: Told, programme: tuple[str, str]) -> Answer:
    if told.care_manager is None:
        return Answer(inquiry_id=told.inquiry_id, answered_at=told.answered_at, answer="nothing_to_tell")
    led = Named(name=told.care_manager.name, phone=told.care_manager.phone) if told.care_manager.name else None
    return Answer(
        inquiry_id=told.inquiry_id, answered_at=told.answered_at, answer="enrolled", care_manager=led,
        programme=Named(name=programme[0], phone=programme[1]),
    )  # fmt: skip

"""What waits for a person about who somebody is: the list, a question with both sides beside each other, a word on it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.commands import command_id_of
from api.problems import Problem
from api.security import Use, only
from api.tokens import Caller
from api.writing import Done, Key, done
from domain.staff.facts import Role
from intake.people.identity_desk import QUESTIONS_MAX, Choice, Kind, NoSuchChoice, Question, UnknownQuestion

router = APIRouter(prefix="/identity", tags=["Who somebody is"])

Looker = Annotated[Caller, Depends(only(Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR, Role.AUDITOR))]
Office = Annotated[Caller, Depends(only(Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR))]


class Compared(BaseModel):
    """A member who may be meant: what was compared, and the points that it spoke for or against."""

    member: str
    score: int
    strong: bool = Field(description="Whether nothing of the name or the birth date differs and the sum is high")
    weights: str = Field(description="The version of the weights")
    evidence: list[tuple[str, str, int]] = Field(description="(what, agrees or nearly or differs, points)")


class Side(BaseModel):
    """What the message, or one member, has."""

    who: str
    cins: list[str]
    family_name: str | None
    given_name: str | None
    birth_date: date | None
    sex: str
    phones: list[str]
    zips: list[str]
    record_numbers: list[str]


class QuestionRow(BaseModel):
    """Something that a person has to look at. It names nobody; ask for it alone to see both sides."""

    id: UUID
    kind: Kind
    reason: str
    since: datetime
    waits_seconds: float = Field(description="For how long it has waited")
    members: list[str]
    decisions: list[Choice]
    source: str
    message_kind: str
    subject: str
    evidence: list[str] = Field(description="What speaks for two members' being one person, by name")
    compared: list[Compared]

    @classmethod
    def of(cls, question: Question) -> QuestionRow:
        return cls(**_plain(question))


class QuestionShown(QuestionRow):
    sides: list[Side]

    @classmethod
    def of(cls, question: Question) -> QuestionShown:
        sides = [
            Side(
                who=s.who, cins=list(s.cins), family_name=s.family_name, given_name=s.given_name, birth_date=s.birth_date,
                sex=s.sex, phones=list(s.phones), zips=list(s.zips), record_numbers=list(s.record_numbers),
            )
            for s in question.sides
        ]  # fmt: skip
        return cls(**_plain(question), sides=sides)


class Decision(BaseModel):
    """What somebody found. `member`: who is meant; with a merge of two, who goes on; of more, who was compared with the first one.
    Left out where only one member is in question."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"decision": "attach", "member": "member-3e1d7c5a-2b9f-5e84-8c16-7d0a4f9b6e21", "reason": "called her"},
                {"decision": "keep_apart", "reason": "twins"},
            ]
        },
    )

    decision: Choice
    reason: Annotated[str, Field(min_length=1, max_length=200, description="Why; sealed")]
    member: str | None = None


@router.get("/questions", summary="What waits for a person about who somebody is, the longest first")
def questions(
    services: Use,
    caller: Looker,
    kind: Annotated[Kind | None, Query(description="Only of this kind")] = None,
    limit: Annotated[int, Query(ge=1, le=QUESTIONS_MAX)] = 100,
) -> list[QuestionRow]:
    return [QuestionRow.of(q) for q in services.door.desk.questions(kind=kind, limit=limit)]


@router.get("/questions/{question}", summary="A question, with what is compared side by side")
def question(services: Use, caller: Office, question: UUID) -> QuestionShown:
    try:
        return QuestionShown.of(services.door.desk.question(question))
    except UnknownQuestion as unknown:
        raise Problem(404, "unknown_question", str(unknown), "question") from None


@router.post("/questions/{question}/decisions", summary="Say what you found: attach, keep_apart, merge, withdraw_death, …")
def decide(services: Use, caller: Office, question: UUID, said: Decision, response: Response, key: Key) -> Done:
    """A fact on the member's stream, with your name and your reason. What follows from it follows by itself."""
    try:
        outcome = services.door.desk.decide(
            question, said.decision, by=caller.by, command_id=command_id_of(key, caller.by), reason=said.reason, member=said.member
        )
    except UnknownQuestion as unknown:
        raise Problem(404, "unknown_question", str(unknown), "question") from None
    except NoSuchChoice as none:
        field, _, because = str(none).partition(": ")
        raise Problem(422, "no_such_decision", because, field) from None
    return done(services, outcome, response, said=frozenset(Decision.model_fields))


def _plain(question: Question) -> dict[str, Any]:
    return {
        "id": question.id, "kind": question.kind, "reason": question.reason, "since": question.since,
        "waits_seconds": question.waits.total_seconds(), "members": list(question.members), "decisions": list(question.choices),
        "source": question.source, "message_kind": question.message_kind, "subject": question.subject,
        "evidence": list(question.pair), "compared": [Compared(**one) for one in question.likely],
    }  # fmt: skip

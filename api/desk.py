"""The inbox as an operator works it: a message with its bytes and what it caused, and the four words that may be said about it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.problems import Problem
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role
from intake.operating.replays import DISCARDABLE, Rehearsed, Selection, discard_chosen, replay_chosen
from intake.store.inbox import Shown, Status, UnknownMessage

router = APIRouter(prefix="/inbox", tags=["Inbox"])

Looker = Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR, Role.AUDITOR))]
Worker = Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR))]


class CausedFact(BaseModel):
    position: int
    event_id: UUID
    stream: str
    fact: str


class Step(BaseModel):
    at: datetime
    status: str
    reason: str
    error: str
    by: str


class Message(BaseModel):
    """A message: where it came from, what became of it and why, and the facts that it led to."""

    inbox_id: UUID
    source: str
    transport: str
    kind: str
    control_id: str
    sha256: str
    received_at: datetime
    status: str
    reason: str
    flags: list[str]
    attempts: int
    stay: str | None
    member: str | None
    proposed: list[str]
    evidence: str
    readable: bool = Field(description="Whether its bytes can still be unsealed")
    caused: list[CausedFact]
    steps: list[Step]

    @classmethod
    def of(cls, shown: Shown) -> Message:
        row = shown.row
        return cls(
            inbox_id=row.inbox_id, source=row.source_id, transport=row.transport, kind=row.kind, control_id=row.control_id,
            sha256=row.sha256.hex(), received_at=row.received_at, status=row.status.value, reason=row.reason, flags=row.flags,
            attempts=row.attempts, stay=row.stay, member=row.member, proposed=row.proposed, evidence=row.evidence,
            readable=shown.raw is not None,
            caused=[CausedFact(position=c.position, event_id=c.event_id, stream=c.stream, fact=c.fact) for c in shown.caused],
            steps=[Step(at=t.at, status=t.status, reason=t.reason, error=t.error, by=t.by) for t in shown.transitions],
        )  # fmt: skip


class Resolution(BaseModel):
    """Whose message it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"member": "member-3e1d7c5a-2b9f-5e84-8c16-7d0a4f9b6e21"}]}
    )

    member: str = Field(pattern=r"^member-[0-9A-Za-z-]{1,64}$")


class Discard(BaseModel):
    """Why nothing is to follow from it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "not_our_member"}]})

    reason: str = Field(pattern=r"^[a-z0-9_]{3,60}$", description="A code in small letters, such as not_our_member")


class ReplayRequest(BaseModel):
    """Which messages: every condition that is given must hold; at least one must be."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"statuses": ["dead"], "trigger": "A03", "dry_run": True}]}
    )

    statuses: list[Status] = Field(default_factory=list, max_length=7)
    source: str | None = Field(default=None, max_length=64)
    trigger: str | None = Field(default=None, max_length=40, description="Such as A03")
    reason: str | None = Field(default=None, max_length=60)
    flag: str | None = Field(default=None, max_length=60, description="Such as facility_unknown")
    received_from: AwareDatetime | None = None
    received_until: AwareDatetime | None = None
    dry_run: bool = Field(default=False, description="Change nothing; show what would become of each (of 200 at most)")


class DiscardRequest(BaseModel):
    """Which messages: every condition that is given must hold; at least one must be. `because`: why nothing follows from them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"statuses": ["dead"], "reason": "not_hl7", "because": "port_scanner"}]}
    )

    because: str = Field(pattern=r"^[a-z0-9_]{3,60}$", description="A code in small letters, such as told_the_plan")
    statuses: list[Status] = Field(default_factory=list, max_length=7)
    source: str | None = Field(default=None, max_length=64)
    reason: str | None = Field(default=None, max_length=60)
    file: UUID | None = Field(default=None, description="The rows of this file; else no rows of files are meant")


class Discarded(BaseModel):
    set_aside: int


class StandingSaid(BaseModel):
    status: str
    reason: str
    flags: list[str]
    parser: str
    stay: str | None
    member: str | None
    evidence: str


class ComparedField(BaseModel):
    field: str
    before: str
    now: str
    differs: bool


class AddedFact(BaseModel):
    stream: str
    fact: str


class Rehearsal(BaseModel):
    """What a replay would do: where the message stands and would stand, what it was and is understood to say, the facts added."""

    inbox_id: UUID
    source: str
    kind: str
    control_id: str
    received_at: datetime
    before: StandingSaid
    now: StandingSaid
    compared: list[ComparedField]
    added: list[AddedFact]
    person: dict[str, int] = Field(description="How many keys to a person the message has, of each kind")
    differs: bool

    @classmethod
    def of(cls, told: Rehearsed) -> Rehearsal:
        return cls.model_validate(
            {**asdict(told), "differs": told.differs, "compared": [{**asdict(c), "differs": c.differs} for c in told.compared]}
        )


class Replayed(BaseModel):
    """How many were taken up; in a dry run none, and what would become of them."""

    taken_up: int
    rehearsed: list[Rehearsal]


@router.post("/replays", status_code=202, summary="Take all messages that fit up again, or show what would become of them")
def replay_all(services: Use, caller: Worker, said: ReplayRequest) -> Replayed:
    selection = Selection(
        statuses=tuple(said.statuses), source=said.source, trigger=said.trigger, reason=said.reason, flag=said.flag,
        received_from=said.received_from, received_until=said.received_until,
    )  # fmt: skip
    if selection.empty or Status.RECEIVED in selection.statuses:
        raise Problem(422, "filter_missing", "Say which messages, and none in the status received.", "statuses")
    now = services.clock.now()
    if said.dry_run:
        told = [Rehearsal.of(one) for one in services.door.rehearsal.all_of(selection, now)]
        return Replayed(taken_up=0, rehearsed=told)
    return Replayed(taken_up=replay_chosen(services.inbox, selection, by=caller.by, now=now), rehearsed=[])


@router.post("/discards", status_code=202, summary="Nothing is to follow from all open messages that fit; they stay in the inbox")
def discard_all(services: Use, caller: Worker, said: DiscardRequest) -> Discarded:
    selection = Selection(statuses=tuple(said.statuses), source=said.source, reason=said.reason, file=said.file)
    if selection.empty or not set(said.statuses or DISCARDABLE) <= set(DISCARDABLE):
        raise Problem(422, "filter_missing", "Say which messages: unmatched, waiting or dead ones.", "statuses")
    count = discard_chosen(services.inbox, selection, reason=said.because, by=caller.by, now=services.clock.now())
    return Discarded(set_aside=count)


@router.get("/{inbox_id}/rehearsal", summary="What a replay of this message would do; nothing is changed")
def rehearse(services: Use, caller: Worker, inbox_id: UUID) -> Rehearsal:
    try:
        return Rehearsal.of(services.door.rehearsal.of(inbox_id, services.clock.now()))
    except UnknownMessage as unknown:
        raise _unknown(unknown) from None


@router.get("/{inbox_id}", summary="A message, what became of it, and the facts that it caused")
def show(services: Use, caller: Looker, inbox_id: UUID) -> Message:
    try:
        return Message.of(services.inbox.show(inbox_id))
    except UnknownMessage as unknown:
        raise _unknown(unknown) from None


@router.get("/{inbox_id}/raw", summary="The bytes as they were received", response_class=Response)
def raw(services: Use, caller: Worker, inbox_id: UUID) -> Response:
    try:
        content = services.inbox.raw(inbox_id)
    except UnknownMessage as unknown:
        raise _unknown(unknown) from None
    if content is None:
        raise Problem(410, "bytes_erased", "The key of the month in which it came was destroyed.", "inbox_id")
    return Response(
        content, media_type="application/octet-stream", headers={"Content-Disposition": f'attachment; filename="{inbox_id}"'}
    )


@router.post("/{inbox_id}/resolutions", status_code=202, summary="Say whose message it is; it is then applied")
def resolve(services: Use, caller: Worker, inbox_id: UUID, said: Resolution) -> dict[str, Any]:
    return _told(inbox_id, lambda: services.inbox.resolve(inbox_id, said.member, by=caller.by, now=services.clock.now()))


@router.post("/{inbox_id}/releases", status_code=202, summary="Let a message that waits be applied as it is")
def release(services: Use, caller: Worker, inbox_id: UUID) -> dict[str, Any]:
    return _told(inbox_id, lambda: services.inbox.release(inbox_id, by=caller.by, now=services.clock.now()))


@router.post("/{inbox_id}/replays", status_code=202, summary="Take it up again; what it has caused is not caused twice")
def replay(services: Use, caller: Worker, inbox_id: UUID) -> dict[str, Any]:
    return _told(inbox_id, lambda: services.inbox.replay(inbox_id, by=caller.by, now=services.clock.now()))


@router.post("/{inbox_id}/discards", status_code=202, summary="Nothing is to follow from it; it stays in the inbox")
def discard(services: Use, caller: Worker, inbox_id: UUID, said: Discard) -> dict[str, Any]:
    return _told(inbox_id, lambda: services.inbox.discard(inbox_id, reason=said.reason, by=caller.by, now=services.clock.now()))


def _told(inbox_id: UUID, tell: Any) -> dict[str, Any]:
    try:
        tell()
    except UnknownMessage as unknown:
        raise _unknown(unknown) from None
    return {"inbox_id": str(inbox_id), "status": "taken_up"}


def _unknown(unknown: UnknownMessage) -> Problem:
    return Problem(404, "unknown_message", f"{unknown}.", "inbox_id")

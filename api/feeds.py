"""The senders: when each was last heard of, what somebody has to look at, and what became of a message that one of them sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.problems import Problem
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role
from intake.answering.following import Followed, follow
from intake.senders.clients import NOTIFIES, REFERS
from intake.senders.notices import Notice, UnknownNotice

router = APIRouter(tags=["Front door"])

Looker = Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR, Role.AUDITOR))]
Worker = Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR))]
Sender = Annotated[Caller, Depends(only(Role.HOSPITAL, scopes=(NOTIFIES, REFERS)))]


class FeedRow(BaseModel):
    """A source of messages. `silent_seconds` counts only the hours in which something is expected of it."""

    source: str
    known_since: datetime
    heard_at: datetime | None
    expected_every_seconds: float | None
    silent_seconds: float | None
    silent: bool


class NoticeRow(BaseModel):
    """Something to look at: a silent feed, missed events, a refused sender, work of ours that keeps failing."""

    notice_id: int
    kind: str
    source: str
    said: str
    remedy: str
    since: datetime
    noticed_at: datetime
    last_at: datetime
    times: int
    ended_at: datetime | None
    ended_by: str

    @classmethod
    def of(cls, notice: Notice) -> NoticeRow:
        return cls(
            notice_id=notice.notice_id, kind=notice.kind, source=notice.source_id, said=notice.said, remedy=notice.remedy,
            since=notice.since, noticed_at=notice.noticed_at, last_at=notice.last_at, times=notice.times, ended_at=notice.ended_at,
            ended_by=notice.ended_by,
        )  # fmt: skip


class FollowedMessage(BaseModel):
    """What became of a message, for whoever sent it. It names no person."""

    receipt: UUID
    control_id: str
    kind: str
    received_at: datetime
    settled_at: datetime | None
    repeats: int
    state: str = Field(
        description="received, applied, duplicate, unmatched, waiting, ignored or dead; taken, where it is not told whether the"
        " patient is a member"
    )
    reason: str
    flags: list[str] = Field(description="What was odd about it")
    remedy: str = Field(description="What the sender can do; empty where nothing is to be done")

    @classmethod
    def of(cls, told: Followed) -> FollowedMessage:
        return cls(
            receipt=told.receipt, control_id=told.control_id, kind=told.kind, received_at=told.received_at,
            settled_at=told.settled_at, repeats=told.repeats, state=told.state, reason=told.reason, flags=list(told.flags),
            remedy=told.remedy,
        )  # fmt: skip


@router.get("/feeds", summary="When each source was last heard of")
def feeds(services: Use, caller: Looker) -> list[FeedRow]:
    return [
        FeedRow(
            source=feed.source, known_since=feed.known_since, heard_at=feed.heard_at,
            expected_every_seconds=feed.expected_every.total_seconds() if feed.expected_every else None,
            silent_seconds=feed.silent_for.total_seconds() if feed.silent_for is not None else None, silent=feed.silent,
        )
        for feed in services.door.feeds.feeds(services.clock.now())
    ]  # fmt: skip


@router.get("/notices", summary="What somebody has to look at: silent feeds, refused senders, failing work")
def notices(
    services: Use, caller: Looker, ended: Annotated[bool, Query(description="Those that are over too")] = False
) -> list[NoticeRow]:
    found = services.door.notices.all() if ended else services.door.notices.open()
    return [NoticeRow.of(notice) for notice in found]


@router.post("/notices/{notice_id}/endings", status_code=202, summary="Somebody has seen to it")
def end_notice(services: Use, caller: Worker, notice_id: int) -> dict[str, Any]:
    try:
        services.door.notices.end_one(notice_id, services.clock.now(), by=caller.by)
    except UnknownNotice as unknown:
        raise Problem(404, "unknown_notice", f"{unknown}.", "notice_id") from None
    return {"notice_id": notice_id, "status": "ended"}


@router.get("/sent-messages", summary="What became of the messages that you sent under a control id")
def sent_messages(
    services: Use,
    caller: Sender,
    control_id: Annotated[str, Query(min_length=1, max_length=250, description="MSH-10, or the id of the Bundle")],
) -> list[FollowedMessage]:
    """Only your own messages, the newest first; several where you used one control id for different messages."""
    source = services.sources.named(caller.source or "")
    found = () if source is None else follow(services.inbox, source, control_id=control_id)
    return [FollowedMessage.of(told) for told in found]


@router.get("/sent-messages/{receipt}", summary="What became of a message that you sent")
def sent_message(services: Use, caller: Sender, receipt: UUID) -> FollowedMessage:
    """`receipt` is what the answer to your message had in its header Throughline-Receipt."""
    source = services.sources.named(caller.source or "")
    found = () if source is None else follow(services.inbox, source, receipt=receipt)
    if not found:
        raise Problem(404, "unknown_message", "You sent no message with this receipt.", "receipt")
    return FollowedMessage.of(found[0])

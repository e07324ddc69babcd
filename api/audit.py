"""Proof over HTTP that nothing in the log was changed: an auditor recomputes the hash chains, in steps of bounded size."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from api.problems import Problem
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role

EVENTS_MAX = 20_000
"""Recomputed for one request, and the rest of one stream: nobody can ask for more work at once."""

STREAM_NAME = r"^[^\x00]{1,200}$"
"""Looser than what we name streams: who changed the log may have changed a name too, and it must still be passed."""

router = APIRouter(tags=["Audit"])

Auditor = Annotated[Caller, Depends(only(Role.AUDITOR, Role.OPERATOR, Role.SUPERVISOR))]


class Bad(BaseModel):
    """The first event of a stream whose hash does not follow from what is stored."""

    stream: str
    version: int
    position: int
    name: str
    reason: str


class Audit(BaseModel):
    """What was recomputed by this request. The whole log is sound where every part up to the one without `next` is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"checked": 18_211, "sound": True, "broken_streams": 0, "first_bad": None, "next": None},
                {
                    "checked": 20_004, "sound": False, "broken_streams": 1,
                    "first_bad": {
                        "stream": "member-3e1d7c5a-2b9f-5e84-8c16-7d0a4f9b6e21", "version": 2, "position": 61,
                        "name": "member.contact-point-learned", "reason": "its hash does not follow from what is stored",
                    },
                    "next": "member-41b0c6de-90c2-5d0b-a3f7-2f6f0f1f7a55",
                },
            ]
        }
    )  # fmt: skip

    checked: int = Field(description="How many events were recomputed")
    sound: bool = Field(description="Whether every hash among them follows from what is stored")
    broken_streams: int
    first_bad: Bad | None = Field(None, description="Of all bad events among them the one that stands first in the log")
    next: str | None = Field(None, description="Pass it as `cursor` to go on; none: this was the last part")


@router.get("/audit", summary="Recompute the hash chains, of one stream or of all in parts, and name the first bad event")
def verify(
    services: Use,
    caller: Auditor,
    stream: Annotated[str | None, Query(pattern=STREAM_NAME, description="Only this stream")] = None,
    cursor: Annotated[str | None, Query(pattern=STREAM_NAME, description="Where the last part ended: its `next`")] = None,
    limit: Annotated[
        int, Query(ge=1, le=EVENTS_MAX, description="At most so many events, and the rest of the stream in which they end")
    ] = EVENTS_MAX,
) -> Audit:
    """Needs no key: what is sealed is checked as it is stored, so an erased member's events are proved too."""
    log, after = services.gateway.log, cursor or ""
    if stream is not None and cursor is not None:
        raise Problem(422, "filter_faulty", "One stream is verified in one go; leave the cursor out.", "cursor")
    until = None if stream is not None else log.stream_after(after, limit)
    checked = 0

    def told(done: int, of: int) -> None:
        nonlocal checked
        checked = done

    bad = sorted(log.verify(stream, after=after, until=until, progress=told), key=lambda event: event.position)
    if stream is not None and not checked:
        raise Problem(404, "unknown_stream", "There is no such stream; the lists show which there are.", "stream")
    first = bad[0] if bad else None
    return Audit(
        checked=checked, sound=not bad, broken_streams=len(bad), next=until,
        first_bad=None if first is None else Bad(
            stream=first.stream, version=first.version, position=first.position, name=first.name, reason=first.reason
        ),
    )  # fmt: skip

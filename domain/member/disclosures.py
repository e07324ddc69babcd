"""What was told of a member to somebody outside, or withheld from them: facts of the member's stream, for whoever asks who knows.

Nothing here decides; what may be told is decided where it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Fact, StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentDisclosed(Fact):
    """A hospital that asked about its patient was told that they are enrolled, and who leads their care. `inquiry` is its id in the
    access log, `to` the source that asked, `evidence` how it named the member."""

    inquiry: str
    to: str
    episode: StreamId
    lead: StreamId | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentWithheld(Fact):
    """A hospital asked about a member who is enrolled, and was told nothing, as of somebody unknown. `why` names the rule."""

    inquiry: str
    to: str
    episode: StreamId
    why: str
    evidence: str = ""

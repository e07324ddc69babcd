"""What is said of a member's life: the facts of a `member-` stream and of the `claim-` streams that keep it one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import EventId, Fact, StreamId, personal


class Channel(StrEnum):
    """The ways of reaching a person (domain.md 2.4). A meeting is at a pharmacy or an appointment."""

    CALL = "call"
    TEXT = "text"
    EMAIL = "email"
    LETTER = "letter"
    VISIT = "visit"
    MEETING = "meeting"


class PointKind(StrEnum):
    PHONE = "phone"
    EMAIL = "email"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRegistered(Fact):
    """A person became known to the programme. `timezone` is where the member lives; quiet hours are kept in it."""

    language: str = "en"
    timezone: str = "America/Los_Angeles"
    sex: str = ""
    race_ethnicity: str = ""
    cin: str | None = personal()
    family_name: str | None = personal()
    given_name: str | None = personal()
    birth_date: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCorrected(Fact):
    """Name or birth date were put right; what is None stays as it was."""

    family_name: str | None = personal()
    given_name: str | None = personal()
    birth_date: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageChosen(Fact):
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRelocated(Fact):
    """The member lives in another time zone now."""

    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPointLearned(Fact):
    """A phone number, mail address or postal address. `point` is its own id; `learned_from`: plan_file, staff, member, hospital."""

    point: str
    kind: PointKind
    learned_from: str
    takes_texts: bool = True
    value: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPointFoundBad(Fact):
    """It does not reach the member: wrong_number, disconnected, bounced, returned_mail, undeliverable."""

    point: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPointFoundGood(Fact):
    point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptedOut(Fact):
    """The member does not want to be contacted this way (a STOP, or said to a person)."""

    channel: Channel
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptedIn(Fact):
    channel: Channel
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentGiven(Fact):
    """Agreement to something named; never a precondition of care (domain.md 1.3). `scope`: contact, services, data_sharing."""

    scope: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWithdrawn(Fact):
    scope: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageLost(Fact):
    """Medi-Cal coverage ended at `occurred_at` (domain.md 2.2: the last day of a month)."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRestored(Fact):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedByPlan(Fact):
    """A health plan's file names the member as its own, from `first_day` on where it says so. Two plans may; which assignment
    governs is another question: one episode is open at a time (domain.md scenario 7)."""

    plan: str
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOffByPlan(Fact):
    """A health plan's file says that the member is no longer its own."""

    plan: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathReported(Fact):
    """`source`: hospital, plan, family, staff."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathReportWithdrawn(Fact):
    """The report was wrong: `report` names the event."""

    report: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StayAttributed(Fact):
    """A hospital's stay is this member's. `evidence` says how that is known (cin+birth_date, cin+name, by_hand); `episode` is the
    one that was open then, if any."""

    stay: StreamId
    episode: StreamId | None
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StayDetached(Fact):
    """The stay was another person's after all."""

    stay: StreamId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeBegun(Fact):
    """The member's history points at an episode of theirs."""

    episode: StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataErased(Fact):
    """The member's key is destroyed; sealed fields of all their facts can no longer be read."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Fact):
    """Of a claim stream: one holder at a time (one person per CIN, one open episode per member)."""

    holder: StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(Fact):
    """The holder gave the claim up; `because` is the closure's reason."""

    holder: StreamId
    because: str = ""

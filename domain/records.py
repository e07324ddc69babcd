"""What people write down late or wrongly: shared by every process whose stream holds records of people.

A record dated back further than the policy's grace counts only once a supervisor approves it; one that was wrong is struck out,
stays readable and no longer counts. Which facts are records, and what they count for, is the process's business and not decided
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from domain.calendar import local_date
from domain.core import Command, Context, Decision, EventId, Fact, Instant, Refusal
from domain.member.decider import CARERS
from domain.policy import Policy
from domain.staff.decider import refused
from domain.staff.facts import Role
from domain.timeline import Entry, Timeline

MINUTES_MAX = 24 * 60
AHEAD_MAX = timedelta(minutes=5)
"""A record may be dated ahead by no more than two clocks disagree."""

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BackdatedRecordApproved(Fact):
    record: EventId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackdatedRecordRejected(Fact):
    record: EventId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStruckOut(Fact):
    """A record was wrong; it stays readable and no longer counts."""

    record: EventId
    reason: str


RecordFact = BackdatedRecordApproved | BackdatedRecordRejected | RecordStruckOut
FACTS: tuple[type[Fact], ...] = (BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut)

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveBackdatedRecord(Command):
    record: EventId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectBackdatedRecord(Command):
    record: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeOutRecord(Command):
    record: EventId
    reason: str


SettleRecord = ApproveBackdatedRecord | RejectBackdatedRecord | StrikeOutRecord

# --- what counts ---------------------------------------------------------------------------------------------------------------

Kinds = tuple[type[Fact], ...]
"""The facts of a process that are records of people; each has `approval_needed`."""


def counted(said: Timeline, kinds: Kinds) -> tuple[Timeline, Timeline]:
    """The records that count, and those that wait for a supervisor's approval. What was struck out or rejected is neither."""
    gone = {e.fact.record for e in said if isinstance(e.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {e.fact.record for e in said if isinstance(e.fact, BackdatedRecordApproved)}
    records = [e for e in said if isinstance(e.fact, kinds) and e.event_id not in gone]
    waiting = tuple(e for e in records if e.fact.approval_needed and e.event_id not in approved)
    return tuple(e for e in records if e not in waiting), waiting


def approval_needed(at: Instant, policy: Policy, now: Instant) -> bool:
    """Whether what happened at an instant is recorded more local days later than the policy's grace."""
    days_late = (local_date(now, policy.timezone) - local_date(at, policy.timezone)).days
    return days_late > policy.late_entry.grace_days


# --- decide --------------------------------------------------------------------------------------------------------------------


def untimely(at: Instant, now: Instant) -> Refusal | None:
    if at > now + AHEAD_MAX:
        return Refusal("in_the_future", "occurred_at: lies ahead; record it once it has happened")
    return None


def too_long(minutes: int) -> Refusal | None:
    if not 0 <= minutes <= MINUTES_MAX:
        return Refusal("minutes_out_of_range", f"minutes: must lie between 0 and {MINUTES_MAX}")
    return None


def decide(command: SettleRecord, said: Timeline, kinds: Kinds, context: Context, now: Instant) -> Decision:
    """Approve, reject or strike out a record of this stream; nothing where that was done already."""
    entry = next((e for e in said if e.event_id == command.record and isinstance(e.fact, kinds)), None)
    match command:
        case StrikeOutRecord(record=record, reason=reason):
            return _strike_out(command.by, entry, RecordStruckOut(record=record, reason=reason), said, context, now)
        case ApproveBackdatedRecord(record=record, reason=reason):
            return _settle(command.by, entry, BackdatedRecordApproved(record=record, reason=reason), said, context, now)
        case RejectBackdatedRecord(record=record, reason=reason):
            return _settle(command.by, entry, BackdatedRecordRejected(record=record, reason=reason), said, context, now)
        case _:
            assert_never(command)


def _strike_out(by: str, entry: Entry | None, fact: RecordStruckOut, said: Timeline, context: Context, now: Instant) -> Decision:
    """One's own record, or anybody's by a supervisor."""
    if entry is None:
        return Refusal("unknown_record", "record: is no record of this process; see `throughline timeline`")
    if refusal := refused(by, context, now, *(CARERS if entry.actor == by else (Role.SUPERVISOR,))):
        return refusal
    struck = any(isinstance(e.fact, RecordStruckOut) and e.fact.record == fact.record for e in said)
    return () if struck else (fact,)


def _settle(
    by: str,
    entry: Entry | None,
    fact: BackdatedRecordApproved | BackdatedRecordRejected,
    said: Timeline,
    context: Context,
    now: Instant,
) -> Decision:
    if refusal := refused(by, context, now, Role.SUPERVISOR):
        return refusal
    if entry is None or not entry.fact.approval_needed:
        return Refusal("nothing_to_approve", "record: is no backdated record of this process")
    if entry.actor == by:
        return Refusal("own_record", "by: nobody approves a record of their own; ask another supervisor")
    settlements = BackdatedRecordApproved | BackdatedRecordRejected
    settled = any(isinstance(e.fact, settlements) and e.fact.record == fact.record for e in said)
    return () if settled else (fact,)

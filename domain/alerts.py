"""Whom on the staff to tell, and when: near dues and missed ones. Staff alerts keep no member's quiet hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from domain.clocks import Clocks
from domain.core import Alarm, Command, Context, Decision, Instant, Obligation, ObligationState, Refusal, StreamId
from domain.requests import AlertAcknowledged, Requests, Want
from domain.rule_shapes import Warn
from domain.staff.decider import present_now, refused, staff_in
from domain.staff.facts import Role

ALERT = "alert"
MISS_ALERT_DAYS = 7
"""A miss that could not be told to anybody for so long is left to the worklist."""

ANY_SUPERVISOR = "role:supervisor"
ANY_CARE_MANAGER = "role:care_manager"


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who is told: a staff stream id, or `role:<role>` where nobody is assigned or present."""

    owner: str
    supervisor: str

    def named(self, to: str) -> str:
        return self.supervisor if to == "supervisor" else self.owner


def alert(key: str, recipient: str, template: str, about: str, expires_at: Instant, policy: str) -> Want:
    return Want(key=key, kind=ALERT, recipient=recipient, template=template, about=about, expires_at=expires_at, policy=policy)


def warnings(obligations: Iterable[Obligation], rules: tuple[Warn, ...], to: Recipients, alarm: Alarm) -> Iterable[Want]:
    """An alert for each open governing obligation whose `act_by` is near; each once per due."""
    for owed in obligations:
        if owed.state is not ObligationState.OPEN or owed.suspended or not owed.governing:
            continue
        for rule in rules:
            if alarm.reached(owed.act_by - timedelta(days=rule.days_before)) and not alarm.reached(owed.window.due):
                key = f"warn/{owed.key}/{_stamp(owed.window.due)}/{rule.to}/{rule.days_before}"
                yield alert(key, to.named(rule.to), "deadline_near", owed.key, owed.window.due, owed.because.policy)


def misses(obligations: Iterable[Obligation], written: Clocks, to: Recipients, alarm: Alarm) -> Iterable[Want]:
    """An alert to owner and supervisor for each governing miss that is written; each once per due, also when learned late."""
    for owed in obligations:
        due = written.written.get(owed.key)
        if due is None or due.missed is None or due.missed_known_at is None or not owed.governing:
            continue
        expires_at = due.missed_known_at + timedelta(days=MISS_ALERT_DAYS)
        if alarm.reached(expires_at):
            continue
        for who in ("owner", "supervisor"):
            key = f"missed/{owed.key}/{_stamp(due.missed.due_at)}/{who}"
            yield alert(key, to.named(who), "deadline_missed", owed.key, expires_at, owed.because.policy)


def _stamp(instant: Instant) -> str:
    return instant.strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeAlert(Command):
    """Somebody has seen an alert; `key` is the request's."""

    key: str


def acknowledge(command: AcknowledgeAlert, requests: Requests, context: Context, now: Instant) -> Decision:
    """By whom it was addressed to, or by a supervisor."""
    request = requests.by_key.get(command.key)
    if request is None:
        return Refusal("unknown_alert", "key: is no alert of this process; see `throughline worklist`")
    if command.by != request.asked.recipient and (refusal := refused(command.by, context, now, Role.SUPERVISOR)):
        return refusal
    return requests.decide(AlertAcknowledged(key=command.key))


def recipients(lead: StreamId | None, context: Context, alarm: Alarm, *, unled: str = "") -> Recipients:
    """Who of a lead care manager and their supervisor is there to be told now. `unled`: whose it is where nobody leads, else the
    supervisor's."""
    person = staff_in(context, lead)
    supervisor = present_or(ANY_SUPERVISOR, person.supervisor, present_now(staff_in(context, person.supervisor), alarm))
    otherwise = supervisor if lead or not unled else unled
    return Recipients(present_or(otherwise, lead, present_now(person, alarm)), supervisor)


def one_per_miss(owed: Iterable[Obligation], written: Clocks, what: Callable[[Obligation], str]) -> tuple[Obligation, ...]:
    """The first of all that are missed at the same instant and are about the same: one alert does for them."""
    groups: dict[tuple[str, Instant], Obligation] = {}
    for obligation in owed:
        due = written.written.get(obligation.key)
        if due is not None and due.missed is not None:
            groups.setdefault((what(obligation), due.missed.due_at), obligation)
    return tuple(groups.values())


def present_or(role: str, stream: StreamId | None, present: bool) -> str:
    """The person where there is one who is present, else the role."""
    return stream if stream is not None and present else role

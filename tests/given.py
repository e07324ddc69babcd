"""Given what happened, when somebody asks for something, then what the core answers: the language of the core's tests.

`given(told(...)).when(command, "...")` shows a decision, `given(...).plan(stream, "...")` a plan; both on facts as they are.
`Story` tells a course of events as people live it: their commands at local times, and in between what the software does by itself.

Times are written as people say them, with the name of the offset, so that no expectation needs a calendar: "2026-11-30 24:00 PST".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from domain.core import SYSTEM, Command, Decision, Fact, Instant, Obligation, On, Plan, ProcessRef, Refusal, StreamId
from domain.episode.decider import ReceiveAssignment
from domain.episode.leads import AssignLeadCareManager
from domain.member.decider import LearnContactPoint, RegisterMember
from domain.member.facts import PointKind
from domain.policy import Policy, PolicyBook, read_policy
from domain.requests import MessageRequested, MessageSent, RequestFact
from domain.staff.decider import JoinStaff, ShowLicence
from domain.staff.facts import Licence, Role
from simulation.memory import Memory

POLICIES = Path(__file__).resolve().parents[1] / "policies"
DEFAULT = read_policy((POLICIES / "default.toml").read_text())
HOURS_FROM_UTC = {"UTC": 0, "PST": -8, "PDT": -7, "MST": -7, "EST": -5}

MEMBER, EPISODE, OUTREACH, TRANSITION, STAY = "member-1", "episode-1", "outreach-1", "transition-1", "stay-1"
LEAD, NURSE, BOSS, DEPUTY, OFFICE = "staff-lead", "staff-nurse", "staff-boss", "staff-deputy", "staff-office"
PHONE, MAIL, HOME = "phone-1", "mail-1", "home-1"


def at(text: str) -> Instant:
    """An instant: "2026-11-20 10:00 PST", seconds and 24:00 allowed."""
    day, clock, offset = text.split()
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=HOURS_FROM_UTC[offset])
    hours, minutes, seconds = (int(part) for part in f"{clock}:00".split(":")[:3])
    return midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def varied(policy: Policy = DEFAULT, **changes: Any) -> Policy:
    """A policy with some values changed, named by path: varied(initial_contact__days=7)."""
    for path, value in changes.items():
        policy = _varied(policy, path.split("__"), value)
    return policy


def _varied(node: Any, path: list[str], value: Any) -> Any:
    """The node with the value at the path; a step is the name of a field, a key, or the index of a list."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(node, tuple):
        return tuple(_varied(item, rest, value) if i == int(step) else item for i, item in enumerate(node))
    if isinstance(node, Mapping):
        return {**node, step: _varied(node.get(step), rest, value)}
    return replace(node, **{step: _varied(getattr(node, step), rest, value)})


def book(*policies: Policy) -> PolicyBook:
    found = PolicyBook()
    for policy in policies or (DEFAULT,):
        found = found.with_adopted(policy)
    return found


# --- given facts: one decision, one plan ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A fact of a stream: when it happened, when it was recorded (None: at once), and by whom."""

    stream: StreamId
    fact: Fact
    at: Instant
    recorded_at: Instant
    by: str = SYSTEM
    said_at: Instant | None = None
    id: str | None = None


def told(stream: StreamId, fact: Fact, when: str, *, recorded: str | None = None, by: str = SYSTEM, id: str | None = None) -> Told:
    return Told(stream, fact, at(when), at(recorded or when), by, id=id)


@dataclass(frozen=True, slots=True)
class Given:
    memory: Memory

    def when(self, command: Command, now: str) -> Then:
        """A command decided at an instant, nothing else having moved."""
        self.memory.now = at(now)
        return Then(self.memory.handle(command))

    def plan(self, stream: StreamId, now: str) -> Plan:
        return self.memory.plan(ProcessRef.of(stream), at(now))


@dataclass(frozen=True, slots=True)
class Then:
    decision: Decision

    def then(self, *facts: Fact | On) -> None:
        assert self.decision == facts

    def refused(self, code: str) -> None:
        assert isinstance(self.decision, Refusal), self.decision
        assert self.decision.code == code
        field, _, remedy = self.decision.because.partition(": ")
        assert field and remedy, "a refusal names the field and the remedy"


def given(*facts: Told, policies: tuple[Policy, ...] = ()) -> Given:
    """The log as it is after these facts, recorded in this order; no process acts."""
    memory = Memory(book(*policies), min((fact.recorded_at for fact in facts), default=at("2026-01-01 00:00 UTC")))
    for fact in facts:
        keep(memory, fact)
    return Given(memory)


def keep(memory: Memory, fact: Told) -> None:
    """Record a fact as it is, when its time has come."""
    memory.now = max(memory.now, fact.recorded_at)
    memory.keep(fact.stream, fact.fact, at=fact.at, by=fact.by, said_at=fact.said_at, event_id=fact.id)


# --- given commands: a course of events ----------------------------------------------------------------------------------------


def always_sent(asked: MessageRequested) -> tuple[RequestFact, ...]:
    """A world in which every channel takes every message."""
    return (MessageSent(key=asked.key),)


class Story:
    """A programme with a lead care manager, a nurse with a licence, a supervisor and another one, and an operator; one member with
    phone, mail address and home.

    `assigned` opens the episode; `on` lets time pass up to an instant, the software acting on the way; `do` carries out a command
    of somebody, which must not be refused; `owed` is what the worklist shows."""

    def __init__(self, starts: str, *policies: Policy, **changes: Any) -> None:
        self.policy = varied(**changes)
        self.memory = Memory(book(*(policies or (self.policy,))), at(starts), carrier=always_sent)
        for stream, roles in (
            (LEAD, (Role.CARE_MANAGER,)),
            (NURSE, (Role.CARE_MANAGER,)),
            (BOSS, (Role.SUPERVISOR,)),
            (DEPUTY, (Role.SUPERVISOR,)),
            (OFFICE, (Role.OPERATOR,)),
        ):
            self.do(JoinStaff(stream=stream, by=SYSTEM, roles=roles, supervisor=BOSS))
        self.do(ShowLicence(stream=NURSE, by=SYSTEM, licence=Licence.RN, expires_on=at("2030-01-01 00:00 UTC").date()))
        self.member()

    def member(self, stream: StreamId = MEMBER, *, language: str = "en", timezone: str = "America/Los_Angeles") -> Story:
        claim = f"claim-{stream}"
        self.do(RegisterMember(stream=stream, by="source:plan", cin_claim=claim, language=language, timezone=timezone))
        for point, kind in ((PHONE, PointKind.PHONE), (MAIL, PointKind.EMAIL), (HOME, PointKind.ADDRESS)):
            self.do(
                LearnContactPoint(stream=stream, by="source:plan", point=point, kind=kind, learned_from="plan_file", value=point)
            )
        return self

    def assigned(self, *, episode: StreamId = EPISODE, lead: str | None = LEAD, **said: Any) -> Story:
        """The plan's file gave us the member, now unless it says otherwise."""
        fields = {"member": MEMBER, "plan": "default", "received_at": self.memory.now} | said
        self.do(ReceiveAssignment(stream=episode, by="source:plan", **fields))
        if lead is not None:
            self.do(AssignLeadCareManager(stream=episode, by=BOSS, staff=lead))
        return self

    def on(self, when: str) -> Story:
        self.memory.run_until(at(when))
        return self

    def beside(self, plan: str) -> Story:
        """Another health plan, which asks for what the default one asks for."""
        asked = self.memory.book.in_force(DEFAULT.plan, self.memory.now)
        self.memory.book = self.memory.book.with_adopted(replace(asked, plan=plan))
        return self

    def asleep_until(self, when: str) -> Story:
        """Time passes and no process runs."""
        self.memory.now = at(when)
        return self

    def do(self, command: Command) -> tuple[Fact | On, ...]:
        decision = self.memory.handle(command)
        assert not isinstance(decision, Refusal), decision
        self.memory.settle()
        return decision

    def refused(self, command: Command) -> str:
        before = len(self.memory.log)
        decision = self.memory.handle(command)
        assert isinstance(decision, Refusal), decision
        assert len(self.memory.log) == before
        return decision.code

    def facts(self, kind: type, stream: StreamId = OUTREACH) -> list[Any]:
        return self.memory.facts(stream, kind)

    def recorded(self, kind: type, stream: StreamId = OUTREACH) -> list[Any]:
        return [r for r in self.memory.streams.get(stream, ()) if isinstance(r.fact, kind)]

    def plan(self, stream: StreamId = OUTREACH) -> Plan:
        return self.memory.plan(ProcessRef.of(stream))

    def all_owed(self, rule: str, stream: StreamId = OUTREACH) -> list[Obligation]:
        """Everything of a rule, or of all rules that begin like it, earliest due first."""
        found = [o for o in self.plan(stream).obligations if o.because.rule == rule or o.because.rule.startswith(f"{rule}.")]
        return sorted(found, key=lambda owed: (owed.window.due, owed.key))

    def owed(self, rule: str, stream: StreamId = OUTREACH) -> Obligation:
        found = self.all_owed(rule, stream)
        assert len(found) == 1, [(o.key, o.state) for o in found]
        return found[0]

    def alerts(self, template: str, stream: StreamId = OUTREACH) -> list[MessageRequested]:
        return [asked for asked in self.facts(MessageRequested, stream) if asked.template == template]

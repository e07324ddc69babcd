"""Given, when, then for transitional care: a member, her people, hospitals that say things, and a clock that goes on.

Times are written as people say them ("2026-11-20 14:00 PST"); the zone is part of the text, so that no calendar is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from domain.core import Command, Obligation, ObligationState, Plan, ProcessRef, Refusal, StreamId
from domain.episode.decider import AssignLeadCareManager, Enrol, ReceiveAssignment
from domain.member.decider import AttributeStay, RegisterMember
from domain.policy import Policy, PolicyBook, read_policy
from domain.requests import (
    DeliveryBegun,
    KeepRequest,
    MessageFailed,
    MessageRequested,
    MessageSent,
)
from domain.staff.decider import JoinStaff, ShowLicence
from domain.staff.facts import Licence, Role
from domain.stay.decider import RecordStatement
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    order_of,
)
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact
from domain.transition.facts import AttemptOutcome, Interaction, SpokenTo
from simulation.memory import Memory

DEFAULT = read_policy((Path(__file__).resolve().parents[2] / "policies" / "default.toml").read_text())

MEMBER, EPISODE, TRANSITION = "member-m", "episode-e", "transition-e"
LEE, SAM, RITA, BEA = "staff-lee", "staff-sam", "staff-rita", "staff-bea"
"""Lee is the lead care manager, Sam her supervisor, Rita a registered nurse, Bea another care manager."""

OFFSETS = {"PST": timedelta(hours=-8), "PDT": timedelta(hours=-7), "UTC": timedelta(0)}


def at(text: str) -> datetime:
    """`2026-11-20 14:00 PST`, as an instant."""
    there, zone = text.rsplit(" ", 1)
    return (datetime.fromisoformat(there) - OFFSETS[zone]).replace(tzinfo=UTC)


@dataclass
class Story:
    """Begins with an enrolled member whose lead care manager is Lee."""

    begins: str = "2026-11-02 09:00 PST"
    policy: Policy = DEFAULT
    enrolled: bool = True
    lead: bool = True
    alerts_arrive: bool = True
    memory: Memory = field(init=False)
    control: int = 0

    def __post_init__(self) -> None:
        self.memory = Memory(PolicyBook((self.policy,)), at(self.begins))
        joined = (
            (SAM, (Role.SUPERVISOR,), None),
            (LEE, (Role.CARE_MANAGER,), SAM),
            (BEA, (Role.CARE_MANAGER,), SAM),
            (RITA, (Role.CARE_MANAGER,), SAM),
        )
        for who, roles, boss in joined:
            self.do(JoinStaff(stream=who, by="system", roles=roles, supervisor=boss))
        self.do(ShowLicence(stream=RITA, by="system", licence=Licence.RN, expires_on=date(2027, 6, 30)))
        self.do(RegisterMember(stream=MEMBER, by="system", cin_claim="claim-cin"))
        plan = self.policy.plan
        self.do(ReceiveAssignment(stream=EPISODE, by="system", member=MEMBER, plan=plan, received_at=self.memory.now))
        if self.lead:
            self.do(AssignLeadCareManager(stream=EPISODE, by="system", staff=LEE))
        if self.enrolled:
            self.do(Enrol(stream=EPISODE, by=LEE, agreed="verbal"))
        self.go(self.begins)

    # --- when ---

    def do(self, command: Command) -> Any:
        """What somebody does now; fails where it is refused."""
        decision = self.memory.handle(command)
        assert not isinstance(decision, Refusal), decision
        return decision

    def tries(self, command: Command) -> Refusal:
        decision = self.memory.handle(command)
        assert isinstance(decision, Refusal), decision
        return decision

    def go(self, when: str) -> Story:
        """Let the clock go on; alerts arrive as they are sent, unless they are not to."""
        until = at(when)
        while True:
            self._deliver()
            wake_at = self.memory.next_wake()
            if wake_at is None or wake_at > until:
                break
            self.memory.run_until(wake_at)
        self.memory.run_until(until)
        self._deliver()
        return self

    def _deliver(self) -> None:
        self.memory.settle()
        for ref, plan in list(self.memory.plans.items()):
            for effect in plan.effects:
                self._keep(ref, DeliveryBegun(key=effect.key))
                sent = (
                    MessageSent(key=effect.key) if self.alerts_arrive else MessageFailed(key=effect.key, permanent=True, code="x")
                )
                self._keep(ref, sent)
        self.memory.settle()

    def _keep(self, ref: ProcessRef, fact: Any) -> None:
        self.memory.handle(KeepRequest(stream=ref.stream, by="system", occurred_at=self.memory.now, fact=fact))

    def hears(self, stay: StreamId, statement: Any, event_at: str, said: str | None = None, episode: str | None = EPISODE) -> Story:
        """A hospital's message arrives now. It was said now unless `said` tells otherwise."""
        self.control += 1
        now = self.memory.now
        said_at = at(said) if said else now
        statement = replace(statement, order=order_of(said_at, now, f"c{self.control:04}", ""), received_at=now)
        self.do(RecordStatement(stream=stay, by="source:hospital", occurred_at=at(event_at), said_at=said_at, statement=statement))
        self.do(AttributeStay(stream=MEMBER, by="source:hospital", stay=stay, episode=episode, evidence="cin+birth_date"))
        return self

    def admitted(
        self, when: str, stay: str = "stay-a", said: str | None = None, as_: StayClass = StayClass.INPATIENT, **more: Any
    ) -> Story:
        statement = MemberAdmitted(
            order="", received_at=at(when), source="hospital", facility="mercy", stay_class=as_, admitted_at=at(when)
        )
        return self.hears(stay, statement, when, said, **more)

    def discharged(
        self,
        when: str,
        stay: str = "stay-a",
        said: str | None = None,
        to: str = "01",
        day: date | None = None,
        as_: StayClass | None = None,
        **more: Any,
    ) -> Story:
        statement = MemberDischarged(
            order="",
            received_at=at(when),
            source="hospital",
            facility="mercy",
            discharged_at=at(when),
            discharged_on=day,
            disposition=to,
            stay_class=as_,
        )
        return self.hears(stay, statement, when, said, **more)

    def described(self, when: str, stay: str = "stay-a", said: str | None = None, **what: Any) -> Story:
        statement = StayDescribed(order="", received_at=at(when), source="hospital", facility="mercy", **what)
        return self.hears(stay, statement, when, said)

    def admission_cancelled(self, when: str, stay: str = "stay-a", said: str | None = None) -> Story:
        return self.hears(stay, AdmissionCancelled(order="", received_at=at(when), source="hospital"), when, said)

    def discharge_cancelled(self, when: str, stay: str = "stay-a", said: str | None = None) -> Story:
        return self.hears(stay, DischargeCancelled(order="", received_at=at(when), source="hospital"), when, said)

    def calls(self, when: str, by: str = LEE, to: SpokenTo = SpokenTo.MEMBER, items: tuple[str, ...] = ()) -> Story:
        """A live call at that time, recorded when the clock is there."""
        self.go(when)
        self.do(
            RecordTransitionContact(
                stream=TRANSITION, by=by, occurred_at=at(when), interaction=Interaction.PHONE, spoken_to=to, items=items
            )
        )
        return self.go(when)

    def visits(self, when: str, by: str = LEE) -> Story:
        self.go(when)
        self.do(
            RecordTransitionContact(
                stream=TRANSITION, by=by, occurred_at=at(when), interaction=Interaction.IN_PERSON, spoken_to=SpokenTo.MEMBER
            )
        )
        return self.go(when)

    def leaves_voicemail(self, when: str) -> Story:
        self.go(when)
        self.do(
            RecordTransitionAttempt(
                stream=TRANSITION, by=LEE, occurred_at=at(when), interaction=Interaction.VOICEMAIL, outcome=AttemptOutcome.VOICEMAIL
            )
        )
        return self.go(when)

    def completes(self, item: str, when: str, by: str = LEE, how: Interaction = Interaction.DOCUMENT) -> Story:
        self.go(when)
        self.do(CompleteItem(stream=TRANSITION, by=by, occurred_at=at(when), item=item, interaction=how))
        return self.go(when)

    # --- then ---

    @property
    def plan(self) -> Plan:
        self.memory.settle()
        return self.memory.plan(ProcessRef("transition", "e"))

    def owed(self, key: str) -> Obligation:
        found = [o for o in self.plan.obligations if o.key == key]
        assert found, f"{key} is not owed; there are {sorted(o.key for o in self.plan.obligations)}"
        return found[0]

    def state(self, key: str) -> ObligationState:
        return self.owed(key).state

    def due(self, key: str) -> datetime:
        return self.owed(key).window.due

    def is_owed(self, key: str) -> bool:
        return any(o.key == key for o in self.plan.obligations)

    def open_keys(self) -> set[str]:
        return {o.key for o in self.plan.obligations if o.state is ObligationState.OPEN}

    def facts(self, *kinds: type, stream: str = TRANSITION) -> list[Any]:
        return self.memory.facts(stream, *kinds)

    def alerts(self, template: str) -> list[MessageRequested]:
        return [fact for fact in self.facts(MessageRequested) if fact.template == template]

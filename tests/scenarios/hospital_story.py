"""The language of the scenarios of transitional care: hospitals that say things, and people who do what is owed afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from domain.core import Obligation, ObligationState, Plan
from domain.episode.enrolment import Enrol
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.decider import AttributeStay
from domain.policy import Policy
from domain.requests import MessageFailed, MessageRequested, RequestFact
from domain.stay.decider import RecordStatement
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    StayStatement,
    order_of,
)
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact
from tests.given import EPISODE, LEAD, MEMBER, STAY, TRANSITION, Story, at

SECOND = "stay-2"
"""Another stay of the same member; `STAY` is the first one."""


def nothing_arrives(asked: MessageRequested) -> tuple[RequestFact, ...]:
    """A world in which every channel refuses every message for good."""
    return (MessageFailed(key=asked.key, permanent=True, code="refused"),)


class HospitalStory(Story):
    """A member who was assigned and enrolled at the beginning.

    A hospital's message arrives at `heard` (by default when it happened) and was said then, unless `said` tells otherwise."""

    def __init__(self, starts: str, *policies: Policy, lead: str | None = LEAD, enrolled: bool = True, **changes: Any) -> None:
        super().__init__(starts, *policies, **changes)
        self.messages = 0
        self.assigned(lead=lead)
        if enrolled:
            self.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))

    # --- what hospitals say ---

    def hears(
        self, stay: str, happened: str, statement: StayStatement, heard: str | None, said: str | None, attributed: bool = True
    ) -> HospitalStory:
        self.on(heard or happened)
        self.messages += 1
        now = self.memory.now
        said_at = at(said) if said else now
        order = order_of(said_at, now, f"control-{self.messages:03}", "digest")
        statement = replace(statement, order=order, received_at=now)
        by = "source:mercy"
        self.do(RecordStatement(stream=stay, by=by, occurred_at=at(happened), said_at=said_at, statement=statement))
        if attributed:
            self.do(AttributeStay(stream=MEMBER, by=by, stay=stay, episode=EPISODE, evidence="cin+birth_date"))
        return self

    def admitted(
        self,
        when: str,
        stay: str = STAY,
        *,
        heard: str | None = None,
        said: str | None = None,
        as_: StayClass = StayClass.INPATIENT,
        attributed: bool = True,
    ) -> HospitalStory:
        statement = MemberAdmitted(
            order="", received_at=at(when), source="mercy", facility="mercy", stay_class=as_, admitted_at=at(when)
        )
        return self.hears(stay, when, statement, heard, said, attributed)

    def discharged(
        self,
        when: str,
        stay: str = STAY,
        *,
        to: str = "01",
        on_day: date | None = None,
        heard: str | None = None,
        said: str | None = None,
        as_: StayClass | None = None,
        attributed: bool = True,
    ) -> HospitalStory:
        statement = MemberDischarged(
            order="",
            received_at=at(when),
            source="mercy",
            facility="mercy",
            discharged_at=at(when),
            discharged_on=on_day,
            disposition=to,
            stay_class=as_,
        )
        return self.hears(stay, when, statement, heard, said, attributed)

    def described(
        self, when: str, stay: str = STAY, *, heard: str | None = None, said: str | None = None, **what: Any
    ) -> HospitalStory:
        statement = StayDescribed(order="", received_at=at(when), source="mercy", facility="mercy", **what)
        return self.hears(stay, when, statement, heard, said)

    def admission_cancelled(
        self, when: str, stay: str = STAY, *, heard: str | None = None, said: str | None = None
    ) -> HospitalStory:
        return self.hears(stay, when, AdmissionCancelled(order="", received_at=at(when), source="mercy"), heard, said)

    def discharge_cancelled(
        self, when: str, stay: str = STAY, *, heard: str | None = None, said: str | None = None
    ) -> HospitalStory:
        return self.hears(stay, when, DischargeCancelled(order="", received_at=at(when), source="mercy"), heard, said)

    # --- what people do ---

    def talks(
        self,
        when: str,
        by: str = LEAD,
        *,
        to: SpokenTo = SpokenTo.MEMBER,
        how: Interaction = Interaction.PHONE,
        items: tuple[str, ...] = (),
        entered: str | None = None,
    ) -> HospitalStory:
        self.on(entered or when)
        said = {"interaction": how, "spoken_to": to, "items": items}
        self.do(RecordTransitionContact(stream=TRANSITION, by=by, occurred_at=at(when), **said))  # type: ignore[arg-type]
        return self

    def visits(self, when: str) -> HospitalStory:
        return self.talks(when, how=Interaction.IN_PERSON)

    def leaves_voicemail(self, when: str) -> HospitalStory:
        self.on(when)
        how = {"interaction": Interaction.VOICEMAIL, "outcome": AttemptOutcome.VOICEMAIL}
        self.do(RecordTransitionAttempt(stream=TRANSITION, by=LEAD, occurred_at=at(when), **how))  # type: ignore[arg-type]
        return self

    def completes(self, item: str, when: str, by: str = LEAD) -> HospitalStory:
        self.on(when)
        self.do(CompleteItem(stream=TRANSITION, by=by, occurred_at=at(when), item=item, interaction=Interaction.DOCUMENT))
        return self

    # --- what the transition shows ---

    @property
    def transition(self) -> Plan:
        return self.plan(TRANSITION)

    def item(self, key: str) -> Obligation:
        found = [o for o in self.transition.obligations if o.key == key]
        assert found, f"{key} is not owed; there are {sorted(o.key for o in self.transition.obligations)}"
        return found[0]

    def state(self, key: str) -> ObligationState:
        return self.item(key).state

    def due(self, key: str) -> Any:
        return self.item(key).window.due

    def open_keys(self) -> set[str]:
        return {o.key for o in self.transition.obligations if o.state is ObligationState.OPEN}

    def said(self, *kinds: type) -> list[Any]:
        return self.memory.facts(TRANSITION, *kinds)

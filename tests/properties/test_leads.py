"""Whoever asks for whatever at any time, dated back or not: a member in care is on the caseload of who leads them last, and on no
other; nobody carries more than a hard cap that no supervisor lifted; who left leads nobody.
"""

from __future__ import annotations

import os
from datetime import date, timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.calendar import local_date
from domain.caseload.facts import CaseTaken
from domain.caseload.state import Load, caseload_of
from domain.core import SYSTEM, Command, Decision, Instant, Refusal
from domain.episode.closing import CloseEpisode, ReinstateEpisode
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.episode.leads import AssignLeadCareManager, HandOver, ReleaseLeadCareManager, last_lead
from domain.follow_up_policy import Cap, Caseload
from domain.member.decider import RegisterMember
from domain.staff.decider import AgreeFullTimeShare, JoinStaff, LeaveStaff, Staff
from domain.staff.facts import OFFICE_ZONE, Role
from simulation.memory import Memory
from tests.given import BOSS, DEFAULT, LEAD, NURSE, OFFICE, at, book, varied

EXAMPLES = int(os.environ.get("THROUGHLINE_EXAMPLES", "0"))
THIRD = "staff-third"
CARE_MANAGERS = (LEAD, NURSE, THIRD)
EPISODES = tuple(f"episode-{n}" for n in range(1, 5))
FOREVER = timedelta(days=36_500)
CASES = Caseload(
    full_time_tenths=12,
    cap=Cap.HARD,
    weight_tenths={"any": 7},
    not_enrolled_tenths=5,
    transition_tenths=0,
    transition_days=0,
    overlay_tenths={},
)
QUIET = varied(
    DEFAULT, caseload=CASES, follow_up=None, population=(), outreach__rung=DEFAULT.outreach.rung[:1], outreach__repeat=()
)
REASONS = ("", "", "nobody else speaks Vietnamese")


WHAT_HAPPENS = (
    *("give",) * 6, "give_for_a_reason", "release", "enrol", "close", "reinstate", "leave", "come_back", "work_less", "time",
)  # fmt: skip


class Leads(RuleBasedStateMachine):
    """Four members, three care managers with room for two members each."""

    @initialize()
    def begin(self) -> None:
        self.memory = Memory(book(QUIET), at("2026-10-25 10:00 PDT"), carrier=lambda asked: ())
        for stream in CARE_MANAGERS:
            self.send(JoinStaff(stream=stream, by=SYSTEM, roles=(Role.CARE_MANAGER,), supervisor=BOSS))
        self.send(JoinStaff(stream=BOSS, by=SYSTEM, roles=(Role.SUPERVISOR,)))
        self.send(JoinStaff(stream=OFFICE, by=SYSTEM, roles=(Role.OPERATOR,)))
        for episode in EPISODES:
            member = episode.replace("episode", "member")
            self.send(RegisterMember(stream=member, by="source:plan", cin_claim=f"claim-{member}"))
            now = self.memory.now
            self.send(ReceiveAssignment(stream=episode, by="source:plan", member=member, plan="default", received_at=now))

    @rule(data=st.data(), what=st.sampled_from(WHAT_HAPPENS))
    def something_happens(self, data: st.DataObject, what: str) -> None:
        """One rule for all, so that giving is as frequent as it is in life."""
        episode, staff = data.draw(st.sampled_from(EPISODES)), data.draw(st.sampled_from(CARE_MANAGERS))
        hours, because = data.draw(st.sampled_from((0, 0, 0, 1, 30, 200))), data.draw(st.sampled_from(REASONS))
        at = self.memory.now - timedelta(hours=hours) if hours else None
        match what:
            case "give" | "give_for_a_reason":
                by = data.draw(st.sampled_from((BOSS, BOSS, BOSS, OFFICE, LEAD)))
                self.give(episode, staff, by, at, because if what == "give_for_a_reason" else "")
            case "release":
                self.send(ReleaseLeadCareManager(stream=episode, by=BOSS, occurred_at=at, reason="asked for another"))
            case "enrol":
                self.send(Enrol(stream=episode, by=LEAD, agreed="verbal"))
            case "close":
                self.send(CloseEpisode(stream=episode, by=BOSS, occurred_at=at, reason=ClosureReason.UNSAFE))
            case "reinstate":
                self.send(ReinstateEpisode(stream=episode, by=BOSS, reason="another member"))
            case "leave":
                last_day = self._today() + timedelta(days=data.draw(st.integers(-2, 4)))
                self.send(LeaveStaff(stream=staff, by=BOSS, last_day=last_day, unassign_because=because))
            case "come_back":
                self.send(JoinStaff(stream=staff, by=BOSS, roles=(Role.CARE_MANAGER,), supervisor=BOSS))
            case "work_less":
                percent = data.draw(st.sampled_from((50, 100)))
                self.send(AgreeFullTimeShare(stream=staff, by=BOSS, percent=percent, from_day=self._today()))
            case _:
                self.memory.run_for(timedelta(hours=data.draw(st.sampled_from((1, 20, 60, 200)))))

    def give(self, episode: str, staff: str, by: str, at: Instant | None, because: str) -> None:
        """Assigned where nobody leads, else handed over."""
        if self.memory.load(episode).state.lead_care_manager(at or self.memory.now) is None:
            self.send(AssignLeadCareManager(stream=episode, by=by, staff=staff, over_cap_because=because, occurred_at=at))
        else:
            self.send(HandOver(stream=episode, by=by, receiver=staff, over_cap_because=because, occurred_at=at))

    # --- what must hold ---

    @invariant()
    def a_member_in_care_is_on_the_caseload_of_who_leads_them_last(self) -> None:
        for episode in EPISODES:
            state = self.memory.load(episode).state
            open_ = state.closure(self.memory.now + FOREVER) is None
            holders = {staff for staff in CARE_MANAGERS if episode in self._load(staff).cases}
            lead = last_lead(state)
            assert holders == ({lead} if open_ and lead else set()), (episode, holders, lead, open_)

    @invariant()
    def nobody_is_taken_beyond_a_hard_cap_without_a_word(self) -> None:
        for staff in CARE_MANAGERS:
            for taken in self.memory.facts(caseload_of(staff), CaseTaken):
                assert taken.over_cap_because or taken.load_tenths + taken.weight_tenths <= taken.cap_tenths

    @invariant()
    def who_left_leads_nobody(self) -> None:
        for staff in CARE_MANAGERS:
            person: Staff = self.memory.load(staff).state
            if person.left_on is not None and person.left_on < self._today():
                leads = [e for e in EPISODES if self.memory.load(e).state.lead_care_manager(self.memory.now) == staff]
                closed = [e for e in leads if self.memory.load(e).state.closure(self.memory.now) is not None]
                assert leads == closed, (staff, leads)

    # --- inside ---

    def _today(self) -> date:
        return local_date(self.memory.now, OFFICE_ZONE)

    def _load(self, staff: str) -> Load:
        state = self.memory.load(caseload_of(staff)).state
        assert isinstance(state, Load)
        return state

    def send(self, command: Command) -> Decision:
        decision = self.memory.handle(command)
        if isinstance(decision, Refusal):
            field, _, remedy = decision.because.partition(": ")
            assert field and remedy, decision
        self.memory.settle()
        self.memory.now += timedelta(seconds=1)
        return decision


Leads.TestCase.settings = settings(
    max_examples=EXAMPLES or 30,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    phases=tuple(Phase) if EXAMPLES else (Phase.explicit, Phase.generate),
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
TestLeads = Leads.TestCase

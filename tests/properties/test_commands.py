"""Everybody asks for everything at any time: commands in any order, twice, late and dated back, while the clock jumps.

No exception, no refusal that writes, one open episode per member, no message that begins when it may not, and every plan keeps
quiet, agreed, live and bounded all along.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from enum import StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import alerts, records
from domain.catalog import decider_of
from domain.core import SYSTEM, Command, Decision, Instant, Refusal, StreamId, fold
from domain.episode import assessments, authorisations, care_plans, closing, enrolment, holds, leads, rosters
from domain.episode import decider as episode
from domain.episode.care_plans import Goal, Task
from domain.episode.enrolment import EnrolmentStep
from domain.episode.state import claim_on_open_episode
from domain.followup import decider as followup
from domain.member import circumstances, identity, sharing
from domain.member import decider as member
from domain.member.facts import Channel, PointKind
from domain.outreach import decider as outreach
from domain.requests import DeliveryBegun
from domain.staff import decider as staff
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from domain.stay import decider as stay
from domain.stay.facts import AdmissionCancelled, DischargeCancelled, MemberAdmitted, MemberDischarged, StayClass, StayDescribed
from domain.transition import decider as transition
from tests.given import BOSS, DEPUTY, HOME, LEAD, MAIL, NURSE, OFFICE, PHONE, at, book, varied
from tests.properties.histories import DAY, EAGER, FEW_ITEMS, SHORT, source_of
from tests.properties.laws import Watched
from tests.properties.test_laws import EXAMPLES

MEMBERS = ("member-1", "member-2")
EPISODES = ("episode-1", "episode-2", "episode-3")
MOSTLY_THE_FIRST = 4
STAYS = ("stay-1", "stay-2")
ACTORS = (*(BOSS, LEAD, DEPUTY) * 6, NURSE, OFFICE, "staff-nobody", "source:plan", SYSTEM)
"""Mostly somebody who may; now and then somebody who may not, or nobody."""

COMMANDS: dict[str, tuple[type[Command], ...]] = {
    "member": (
        member.RegisterMember, member.LearnContactPoint, member.MarkContactPoint, member.OptOut, member.OptIn, member.GiveConsent,
        member.WithdrawConsent, member.LoseCoverage, member.RestoreCoverage, member.ReportDeath, member.WithdrawDeathReport,
        member.ListByPlan, member.TakeOffByPlan,
        member.AttributeStay, member.DetachStay, member.ChooseLanguage, member.Relocate, member.CorrectIdentity,
    ),
    "episode": (
        episode.ReceiveAssignment, episode.ReceiveAssignment, episode.ReceiveAssignment, episode.ResendAssignment,
        closing.WithdrawAssignment, leads.AssignLeadCareManager, leads.HandOver, leads.ReleaseLeadCareManager, enrolment.Enrol,
        closing.Decline, enrolment.Defer, holds.Hold, holds.Resume, episode.ReapplyPolicy, closing.CloseEpisode,
        closing.ReinstateEpisode,
    ),
    "outreach": (
        outreach.RecordAttempt, outreach.RecordAttempt, outreach.RecordContact, outreach.RejectUnableToReach,
        outreach.DismissNewEpisode, records.ApproveBackdatedRecord, records.RejectBackdatedRecord, records.StrikeOutRecord,
    ),
    "stay": (stay.RecordStatement, stay.RecordStatement, stay.EnterAdmission, stay.EnterDischarge, stay.CancelAdmission,
             stay.CancelDischarge),
    "transition": (
        transition.RecordTransitionContact, transition.RecordTransitionAttempt, transition.CompleteItem, transition.ReopenItem,
        transition.ReviewStay, alerts.AcknowledgeAlert, records.ApproveBackdatedRecord, records.StrikeOutRecord,
    ),
    "staff": (
        staff.AnnounceAbsence, staff.CallOffAbsence, staff.ShowLicence, staff.GrantRole, staff.RevokeRole, staff.NameLanguages,
        staff.AgreeFullTimeShare, staff.CompleteTraining, staff.RevokeLicence,
    ),
    "life": (
        circumstances.NoteCircumstance, circumstances.NoteCircumstance, circumstances.EndCircumstance,
        circumstances.RecordDiagnosis, circumstances.RuleOutDiagnosis, circumstances.ReportVisit, circumstances.JudgeVisit,
        circumstances.LearnCounty, sharing.NameParty, sharing.ShowAuthority, sharing.EndAuthority,
        sharing.AuthoriseDataSharing, sharing.RevokeDataSharing,
    ),
    "identity": (
        identity.MergeMembers, identity.MergeMembers, identity.SeparateMembers, identity.KeepMembersApart, identity.MoveStay,
        identity.LearnRecordNumber, identity.RetireRecordNumber, identity.ForgetRecordNumber, identity.ReplaceCin,
        identity.WithdrawCinReplacement, identity.LearnFormerCin, identity.ForgetFormerCin, identity.AskWhetherOne,
        identity.RecogniseMessage, identity.DisownMessage, identity.ProposeContactPoint,
        identity.AcceptContactPoint, identity.RejectContactPoint, member.AttributeStay,
    ),
    "year": (
        authorisations.GrantAuthorisation, authorisations.RequestAuthorisation, authorisations.DenyAuthorisation,
        authorisations.ConsiderDiscontinuation, authorisations.CarryOver, enrolment.RecordEnrolmentVisit, enrolment.AnswerScreening,
        enrolment.ReportPlanTier, enrolment.RaiseConflict, enrolment.SettleConflict, enrolment.ExplainChoice,
        enrolment.RequestProviderChange, enrolment.SettleProviderChange, assessments.BeginAssessment, assessments.AnswerAssessment,
        assessments.CompleteAssessment, assessments.AbandonAssessment, closing.AgreeStepDown, closing.MakeWarmHandOff,
        closing.RecordNoticeOfAction, rosters.MissOnRoster, rosters.MissOnRoster, rosters.NameOnRosterAgain,
        rosters.SettleRosterAbsence, rosters.ReportPlanPopulations, care_plans.WriteCarePlan,
        care_plans.MeetGoal, care_plans.GiveUpGoal, care_plans.FinishTask, care_plans.GiveCarePlanCopy, care_plans.ReviewCarePlan,
    ),
    "followup": (
        followup.RecordFollowUpContact, followup.RecordFollowUpContact, followup.RecordFollowUpContact,
        followup.RecordFollowUpAttempt, followup.AgreeCadence, followup.EndCadenceAgreement, followup.OverrideTier,
        followup.LiftTierOverride, followup.ConfirmPopulation, followup.RejectPopulation, followup.ReviewFollowUp,
        alerts.AcknowledgeAlert, records.ApproveBackdatedRecord, records.StrikeOutRecord,
    ),
}  # fmt: skip
STREAMS: dict[str, tuple[StreamId, ...]] = {
    "member": MEMBERS,
    "episode": EPISODES,
    "outreach": tuple(e.replace("episode", "outreach") for e in EPISODES),
    "stay": STAYS,
    "transition": tuple(e.replace("episode", "transition") for e in EPISODES),
    "staff": (LEAD, NURSE),
    "life": MEMBERS,
    "identity": MEMBERS,
    "year": EPISODES,
    "followup": tuple(e.replace("episode", "followup") for e in EPISODES),
}
WORDS: dict[str, tuple[Any, ...]] = {
    "member": (MEMBERS[0], *MEMBERS),
    "episode": (EPISODES[0], EPISODES[0], *EPISODES, None),
    "previous": (None, "episode-1", "episode-2", "member-1"),
    "stay": STAYS,
    "staff": (LEAD, NURSE, BOSS),
    "retired": (MEMBERS[1], *MEMBERS, "member-9", "nobody"),
    "other": (*MEMBERS, "nobody"),
    "rightful": MEMBERS,
    "key": ("number-1", "number-2"),
    "into": ("number-1", "number-2"),
    "numbers": ((), ("number-1",)),
    "message": ("0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90", "0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f91", "message-1"),
    "receiver": (LEAD, NURSE),
    "supervisor": (BOSS,),
    "plan": ("default", "defualt"),
    "policy": ("default@2026.1", "default@2026.2", "default@never"),
    "point": ("", PHONE, MAIL, HOME, "phone-9"),
    "scope": ("contact", "services"),
    "agreed": ("verbal", "written", "nodded"),
    "timezone": ("America/Los_Angeles", "America/New_York", "Mars/Base"),
    "language": ("en", "vi"),
    "item": ("call", "visit", "medication_reconciliation", "follow_up_appointment", "no_such_item"),
    "items": ((), ("call",)),
    "disposition": ("", "01", "02", "03", "07", "20", "99"),
    "cin_claim": ("claim-a", "claim-b"),
    "licence": tuple(staff.Licence),
    "questionnaire": ("short", "core@1", "nobody-knows"),
    "questions": (("mood", "sleep"), ("mood",), ()),
    "scores": ((4, 5), (1,), ()),
    "steps": ((EnrolmentStep.SCREENING,), tuple(EnrolmentStep), ()),
    "tier": ("", "1", "high", "low", "none", "no_such_tier"),
    "population": ("homeless_adults", "no_such_population"),
    "code": ("I50.9", "E119", "nonsense"),
    "visit": ("visit-1", "visit-2", *STAYS),
    "county": ("Orange", "Kern", ""),
    "programme": ("hospice", "other-provider", ""),
    "every_days": (0, 3, 30),
    "percent": (0, 50, 100),
    "languages": (("en",), ("vi", "en")),
    "recipients": (("plan",), ("family", "facility"), ()),
    "authorisation": ("", "streamlined-1", "no-such-authorisation"),
    "request": ("", "request-1"),
    "following": ("", "streamlined-1"),
    "assessment": ("", "no-such-assessment"),
    "goals": ((Goal(goal="g1", topic="housing"),), ()),
    "goal": ("g1", "g2"),
    "tasks": ((Task(task="t1", goal="g1", owner=LEAD),), (Task(task="t1", goal="g2", owner="nobody"),), ()),
    "task": ("t1", "t2"),
    "version": (0, 1, 7),
    "replaces": (None, 0, 1),
    "member_took_part": ("phone", "declined", "asleep"),
    "to": ("member", "caregiver", "complex_care_management", "press"),
    "about": ("minimum_count", ""),
    "over_cap_because": ("", "nobody else speaks Vietnamese"),
}
"""What may stand in a field, by its name; every other field has the values of its type."""
WORDS_OF_ALL = (
    "in_person", "phone", "ours", "theirs", "no_conflict", "member_chose_us", "changed", "stays", "continue", "step_down",
    "old_plan", "complex_care_management", "share_information", "substance_use", "caregiver", "agreed", "changes_wanted", "member",
)  # fmt: skip
"""Words of which one or the other means something in some field of text."""


class Everybody(RuleBasedStateMachine):
    """A programme in which nobody knows what the others do."""

    def __init__(self) -> None:
        super().__init__()
        second = varied(**SHORT, **FEW_ITEMS, **EAGER, version="2026.2", effective_on=date(2026, 11, 10), initial_contact__days=5)
        first = varied(**SHORT, **FEW_ITEMS, **EAGER)
        self.memory = Watched(book(first, second), at("2026-10-25 10:00 PDT"))
        self.sent: list[tuple[Command, str]] = []
        self.held_back: list[Command] = []
        self.checked = 0

    @initialize(enrolled=st.booleans())
    def begin(self, enrolled: bool) -> None:
        roles = {LEAD: Role.CARE_MANAGER, NURSE: Role.CARE_MANAGER, BOSS: Role.SUPERVISOR, DEPUTY: Role.SUPERVISOR}
        for stream, role in roles.items():
            self.send(JoinStaff(stream=stream, by=SYSTEM, roles=(role,), supervisor=BOSS))
        self.send(JoinStaff(stream=OFFICE, by=SYSTEM, roles=(Role.OPERATOR,)))
        for stream, claim in zip(MEMBERS, ("claim-a", "claim-b"), strict=True):
            self.send(member.RegisterMember(stream=stream, by="source:plan", cin_claim=claim))
            for point, kind in ((PHONE, PointKind.PHONE), (HOME, PointKind.ADDRESS)):
                learned = member.LearnContactPoint(
                    stream=stream, by=LEAD, point=point, kind=kind, learned_from="plan_file", value="x"
                )
                self.send(learned)
        received = {"plan": "default", "received_at": self.memory.now}
        self.send(episode.ReceiveAssignment(stream=EPISODES[0], by="source:plan", member=MEMBERS[0], **received))
        if enrolled:
            self.send(enrolment.Enrol(stream=EPISODES[0], by=LEAD, agreed="verbal"))
            admitted = stay.EnterAdmission(
                stream=STAYS[0],
                by=LEAD,
                facility="General",
                stay_class=StayClass.INPATIENT,
                admitted_at=self.memory.now,
                member=MEMBERS[0],
                episode=EPISODES[0],
            )
            self.send(admitted)
        self.memory.carrier = lambda asked: ()

    # --- what happens ---

    @rule(data=st.data())
    def the_campaign(self, data: st.DataObject) -> None:
        self.ask(data, "outreach", "outreach", "episode")

    @rule(data=st.data())
    def the_office(self, data: st.DataObject) -> None:
        self.ask(data, "episode", "staff", "member")

    @rule(data=st.data())
    def the_member(self, data: st.DataObject) -> None:
        self.ask(data, "member", "member", "episode")

    @rule(data=st.data())
    def the_hospital(self, data: st.DataObject) -> None:
        self.ask(data, "stay", "stay", "transition")

    def ask(self, data: st.DataObject, *kinds: str) -> None:
        for kind in data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5)):
            self.send(self.drawn(data, kind))
            self.memory.now += data.draw(st.sampled_from((timedelta(), timedelta(), timedelta(hours=1), timedelta(hours=9))))

    @rule(data=st.data())
    def the_care(self, data: st.DataObject) -> None:
        self.ask(data, "followup", "followup", "year", "life")

    @rule(data=st.data())
    def the_desk(self, data: st.DataObject) -> None:
        self.ask(data, "identity", "identity", "stay")

    @rule(data=st.data(), kind=st.sampled_from(sorted(COMMANDS)))
    def hold_back(self, data: st.DataObject, kind: str) -> None:
        """A command is written now, and arrives later."""
        self.held_back.append(self.drawn(data, kind))

    @precondition(lambda self: self.held_back)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, len(self.held_back) - 1))
        self.send(self.held_back.pop(n))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def arrive_again(self, data: st.DataObject) -> None:
        """The same command under the same id writes nothing more; under a new one it does no harm."""
        command, command_id = data.draw(st.sampled_from(self.sent))
        before = len(self.memory.log)
        if command_id in self.memory.remembered:
            self.memory.handle(command, command_id)
            assert len(self.memory.log) == before
        self.send(command)

    @rule(hours=st.sampled_from((1, 7, 23, 50, 170, 800)))
    def time_passes(self, hours: int) -> None:
        self.memory.run_for(timedelta(hours=hours))

    @rule(hours=st.sampled_from((5, 40, 400)))
    def everything_sleeps(self, hours: int) -> None:
        self.memory.now += timedelta(hours=hours)

    # --- what must hold ---

    @invariant()
    def each_member_has_at_most_one_open_episode(self) -> None:
        for stream in MEMBERS:
            theirs = [e for e in EPISODES if (state := self.memory.load(e).state).assignment is not None and state.member == stream]
            open_ = [
                e for e in theirs if self.memory.load(e).state.closure(Instant.max.replace(tzinfo=self.memory.now.tzinfo)) is None
            ]
            assert len(open_) <= 1, open_
            holder = self.memory.load(claim_on_open_episode(stream)).state.holder
            assert holder in (None, *theirs)
            assert not open_ or holder == open_[0]

    @invariant()
    def nothing_began_that_may_not(self) -> None:
        """What was recorded before decides: a message to the member is begun only where nobody and nothing forbids it."""
        for position in range(self.checked, len(self.memory.log)):
            recorded = self.memory.log[position]
            if isinstance(recorded.fact, DeliveryBegun) and recorded.stream.startswith("outreach"):
                self._may_begin(recorded)
        self.checked = len(self.memory.log)

    def _may_begin(self, recorded: Any) -> None:
        campaign = self.memory.load(recorded.stream).state
        asked = campaign.requests.by_key[recorded.fact.key].asked
        if asked.kind == "alert":
            return
        known = self._as_of(asked.recipient, recorded)
        assert not known.opted_out(Channel(asked.kind), recorded.recorded_at)
        assert not known.contact_refused(recorded.recorded_at)
        died = known.death()
        assert died is None or died[1] > recorded.recorded_at
        assert self._as_of(campaign.episode, recorded).closure(recorded.recorded_at) is None

    def _as_of(self, stream: StreamId, recorded: Any) -> Any:
        """A stream's state from what stood in the log before a fact."""
        before = (r for r in self.memory.streams.get(stream, ()) if r.position < recorded.position)
        return fold(decider_of(stream), stream, before).state

    # --- commands ---

    def send(self, command: Command) -> Decision:
        before, command_id = len(self.memory.log), f"command-{len(self.sent)}"
        decision = self.memory.handle(command, command_id)
        if isinstance(decision, Refusal):
            field, _, remedy = decision.because.partition(": ")
            assert field and remedy, decision
            assert len(self.memory.log) == before
        self.sent.append((command, command_id))
        self.memory.settle()
        return decision

    def drawn(self, data: st.DataObject, kind: str) -> Command:
        command = data.draw(st.sampled_from(COMMANDS[kind]))
        hints = get_type_hints(command)
        given: dict[str, Any] = {
            "stream": data.draw(st.sampled_from((*STREAMS[kind][:1] * MOSTLY_THE_FIRST, *STREAMS[kind]))),
            "by": data.draw(st.sampled_from(("source:adt", OFFICE) if command is stay.RecordStatement else ACTORS)),
            "occurred_at": data.draw(st.sampled_from((None, None, None, -2, -30, -100, -600))),
        }
        if given["occurred_at"] is not None:
            given["occurred_at"] = self.memory.now + timedelta(hours=given["occurred_at"])
        for f in fields(command):
            if f.name not in (*given, "said_at", "message_id") and not f.metadata.get("personal"):
                given[f.name] = self._value(data, f.name, hints[f.name], given)
        if command is assessments.AnswerAssessment:
            given["answers"] = tuple("no" for _ in given["questions"])
        if command is care_plans.WriteCarePlan:
            given["texts"] = dict.fromkeys(("g1", "t1"), "in words")
        return command(**given)

    def _value(self, data: st.DataObject, name: str, kind: Any, given: dict[str, Any]) -> Any:
        if name == "statement":
            return self._statement(data)
        if name in ("record", "done", "report", "cause", "key", "raised", "requested") and not (
            name == "key" and given["stream"] in MEMBERS
        ):
            return self._named(data, given["stream"], name)
        if name in WORDS:
            maybe = get_origin(kind) in (Union, UnionType)
            return data.draw(st.sampled_from([word for word in WORDS[name] if maybe or word is not None]))
        if get_origin(kind) in (Union, UnionType):
            kind = next(a for a in get_args(kind) if a is not type(None))
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return data.draw(st.sampled_from(tuple(kind)))
        if kind is bool:
            return data.draw(st.booleans())
        if kind is int:
            return data.draw(st.sampled_from((0, 5, 20)))
        if kind is date:
            return (self.memory.now + data.draw(st.integers(-3, 12)) * DAY).date()
        if isinstance(kind, type) and issubclass(kind, Instant):
            return self.memory.now - timedelta(hours=data.draw(st.sampled_from((0, 0, 3, 60))))
        if kind == tuple[str, ...]:
            return data.draw(st.sampled_from(((), ("birth_date",), ("birth_date", "family_name"))))
        assert kind is str, (name, kind)
        return data.draw(st.sampled_from((*WORDS_OF_ALL, "one", "")))

    def _named(self, data: st.DataObject, stream: StreamId, name: str) -> str:
        """A fact or a request that is there, or one that never was."""
        if name == "key":
            requests = getattr(self.memory.load(stream).state, "requests", None)
            keys = tuple(requests.by_key) if requests is not None else ()
            return data.draw(st.sampled_from(("no-such-key", *keys)))
        ids = tuple(r.event_id for r in self.memory.streams.get(stream, ()))
        return data.draw(st.sampled_from(("no-such-fact", *ids[::-1])))

    def _statement(self, data: st.DataObject) -> Any:
        """What a hospital says, of now or of the last days, in no order."""
        said_at = self.memory.now - timedelta(hours=data.draw(st.sampled_from((0, 1, 30, 90))))
        match data.draw(st.integers(0, 5)):
            case 0 | 1:
                stay_class = data.draw(st.sampled_from(tuple(StayClass)))
                return MemberAdmitted(**source_of(said_at), stay_class=stay_class, admitted_at=said_at)
            case 2 | 3:
                disposition = data.draw(st.sampled_from(("01", "02", "03", "07", "20", "30", "")))
                return MemberDischarged(**source_of(said_at), discharged_at=said_at, disposition=disposition)
            case 4:
                return StayDescribed(**source_of(said_at), discharged_at=said_at, stay_class=StayClass.INPATIENT)
            case _:
                cancelled = data.draw(st.sampled_from((AdmissionCancelled, DischargeCancelled)))
                return cancelled(**source_of(said_at))


Everybody.TestCase.settings = settings(
    max_examples=EXAMPLES or 25,
    stateful_step_count=30,
    derandomize=not EXAMPLES,
    phases=tuple(Phase) if EXAMPLES else (Phase.explicit, Phase.generate),
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
TestEverybody = Everybody.TestCase

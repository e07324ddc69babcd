"""Repeated emergency visits and admissions (domain.md 2.8): counted once, listed for a person's word, a referral proposed; and 57.

A message cannot show that a visit could have been avoided. Under the default policy five emergency visits in a year, or three
stays, all found avoidable, make an adult a member of the population of focus; three and two a child.
"""

from __future__ import annotations

from dataclasses import replace

from domain.core import ObligationState
from domain.episode.closing import CloseEpisode, Decline
from domain.episode.facts import AssignmentReceived, ClosureReason
from domain.episode.referrals import ReceiveReferral, ReferralSource
from domain.followup.decider import DismissReferralProposal
from domain.followup.facts import PopulationProposed, ReferralProposalWithdrawn, ReferralProposed
from domain.member.circumstances import JudgeVisit
from domain.member.decider import AttributeStay, CorrectIdentity, ReportDeath
from domain.outreach.facts import NewEpisodeProposed, OutreachOpened
from domain.stay.facts import MemberAdmitted, StayClass, VisitBecame
from tests.given import EPISODE, LEAD, MEMBER, at
from tests.scenarios.hospital_story import HospitalStory

YEAR = "followup-1"
LOOK, REFER = "followup.avoidable_visits", "followup.referral_proposed"
ADULTS, CHILDREN = "avoidable-use-adults", "avoidable-use-children"


def story(born: str = "1961-07-09", *, enrolled: bool = True) -> HospitalStory:
    told = HospitalStory("2026-01-05 10:00 PST", enrolled=enrolled)
    told.do(CorrectIdentity(stream=MEMBER, by=LEAD, birth_date=born, reason="as registered"))
    return told


def visit(told: HospitalStory, when: str, number: int, *, as_: StayClass = StayClass.EMERGENCY, open_episode: bool = True) -> str:
    """One visit, there and back. Of somebody without an open episode it is nobody's episode."""
    stay = f"stay-{number}"
    if open_episode:
        told.admitted(when, stay, as_=as_)
        return stay
    told.admitted(when, stay, as_=as_, attributed=False)
    told.do(AttributeStay(stream=MEMBER, by="source:mercy", stay=stay, episode=None, evidence="cin+birth_date"))
    return stay


def judged(told: HospitalStory, stay: str, *, avoidable: bool = True) -> None:
    told.do(JudgeVisit(stream=MEMBER, by=LEAD, visit=stay, avoidable=avoidable, reason="looked at the record"))


def five(told: HospitalStory, *, open_episode: bool = True) -> list[str]:
    months = ("02", "03", "04", "05", "06")
    return [visit(told, f"2026-{m}-10 14:00 {zone(m)}", n, open_episode=open_episode) for n, m in enumerate(months, start=1)]


def zone(month: str) -> str:
    return "PST" if month in ("01", "02", "11", "12") else "PDT"


def test_the_fifth_emergency_visit_of_an_adult_asks_somebody_to_look_at_all_five() -> None:
    told = story()
    for number, month in enumerate(("02", "03", "04", "05"), start=1):
        visit(told, f"2026-{month}-10 14:00 {zone(month)}", number)
    assert told.all_owed(LOOK, YEAR) == [], "four are too few"
    visit(told, "2026-06-10 14:00 PDT", 5)
    owed = told.owed(LOOK, YEAR)
    assert owed.how == "say of 5 visits whether they could have been avoided (population of focus 2a)"
    assert (owed.owed_by, owed.state) == (LEAD, ObligationState.OPEN)
    assert told.facts(PopulationProposed, YEAR) == [], "no message shows that a visit could have been avoided"


def test_a_child_is_looked_at_from_the_third_visit_on() -> None:
    told = story(born="2015-03-01")
    for number, month in enumerate(("02", "03"), start=1):
        visit(told, f"2026-{month}-10 14:00 {zone(month)}", number)
    assert told.all_owed(LOOK, YEAR) == []
    visit(told, "2026-04-10 14:00 PDT", 3)
    assert told.owed(LOOK, YEAR).how.endswith("(population of focus 2b)")


def test_an_emergency_visit_that_became_a_stay_counts_once_as_a_stay() -> None:
    told = story()
    stays = five(told)
    assert told.owed(LOOK, YEAR).state is ObligationState.OPEN
    became = VisitBecame(
        order="", received_at=told.memory.now, source="mercy", facility="mercy", stay_class=StayClass.INPATIENT,
        changed_at=at("2026-06-10 18:00 PDT"),
    )  # fmt: skip
    told.hears(stays[-1], "2026-06-10 18:00 PDT", became, None, None, attributed=False)
    assert told.all_owed(LOOK, YEAR) == [], "four emergency visits and one stay: neither five nor three"


def test_the_look_is_over_when_the_oldest_visit_leaves_the_window() -> None:
    told = story()
    five(told)
    told.on("2027-02-10 23:59 PST")
    assert told.owed(LOOK, YEAR).state is ObligationState.OPEN, "2026-02-10 lies within the 365 days that end today"
    told.on("2027-02-11 00:01 PST")
    assert told.all_owed(LOOK, YEAR) == []


def test_one_visit_that_could_not_be_avoided_ends_the_look_and_five_that_could_propose_the_population() -> None:
    told = story()
    stays = five(told)
    judged(told, stays[0], avoidable=False)
    assert told.all_owed(LOOK, YEAR) == [], "five can no longer be avoidable"
    sixth = visit(told, "2026-07-10 14:00 PDT", 6)
    assert told.owed(LOOK, YEAR).how.startswith("say of 5 visits")
    for stay in (*stays[1:], sixth):
        judged(told, stay)
    assert [f.population for f in told.facts(PopulationProposed, YEAR)] == [ADULTS]
    assert told.all_owed(LOOK, YEAR) == []


def test_each_plan_has_its_own_threshold() -> None:
    told = HospitalStory("2026-01-05 10:00 PST")
    assert told.policy.population[2].key == ADULTS
    (line, age) = told.policy.population[2].when
    fewer = (replace(line[0], at_least=2), line[1])
    population = replace(told.policy.population[2], when=(fewer, age))
    other = replace(told.policy, population=(*told.policy.population[:2], population, *told.policy.population[3:]))
    told = HospitalStory("2026-01-05 10:00 PST", other)
    told.do(CorrectIdentity(stream=MEMBER, by=LEAD, birth_date="1961-07-09", reason="as registered"))
    visit(told, "2026-02-10 14:00 PST", 1)
    visit(told, "2026-03-10 14:00 PDT", 2)
    assert told.owed(LOOK, YEAR).how.startswith("say of 2 visits")


# --- of somebody whose episode is over -----------------------------------------------------------------------------------------


def closed() -> HospitalStory:
    told = story()
    told.do(CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.MOVED_COUNTY))
    return told


def test_after_the_closure_avoidable_visits_propose_a_referral_that_a_person_takes_up() -> None:
    told = closed()
    stays = five(told, open_episode=False)
    assert told.owed(LOOK, YEAR).state is ObligationState.OPEN
    assert told.facts(ReferralProposed, YEAR) == []
    for stay in stays:
        judged(told, stay)
    (proposed,) = told.facts(ReferralProposed, YEAR)
    assert proposed.population == ADULTS
    assert told.owed(REFER, YEAR).how == "refer the member anew, or dismiss the proposal"
    assert len(told.facts(AssignmentReceived, EPISODE)) == 1, "nothing opens by itself"
    anew = ReceiveReferral(
        stream="episode-2", by=LEAD, member=MEMBER, plan="default", referral="r-1", source=ReferralSource.UTILISATION,
        populations=("2a",),
    )  # fmt: skip
    told.do(anew)
    assert told.all_owed(REFER, YEAR) == []
    assert [f.reason for f in told.facts(ReferralProposalWithdrawn, YEAR)] == ["taken_up"]
    assert told.owed("initial_contact.contact", "outreach-2").state is ObligationState.OPEN


def test_a_dismissed_proposal_comes_back_with_another_avoidable_visit_only() -> None:
    told = closed()
    for stay in five(told, open_episode=False):
        judged(told, stay)
    dismissal = DismissReferralProposal(stream=YEAR, by=LEAD, population=ADULTS, reason="has a clinic now")
    told.do(dismissal)
    assert told.all_owed(REFER, YEAR) == []
    assert told.do(dismissal) == ()
    told.on("2026-07-01 10:00 PDT")
    assert len(told.facts(ReferralProposed, YEAR)) == 1
    sixth = visit(told, "2026-07-10 14:00 PDT", 6, open_episode=False)
    assert len(told.facts(ReferralProposed, YEAR)) == 1
    judged(told, sixth)
    assert len(told.facts(ReferralProposed, YEAR)) == 2
    assert told.owed(REFER, YEAR).state is ObligationState.OPEN


def test_nothing_is_proposed_of_which_nobody_spoke() -> None:
    told = closed()
    assert told.refused(DismissReferralProposal(stream=YEAR, by=LEAD, population=ADULTS, reason="x")) == "not_proposed"


# --- 57 ------------------------------------------------------------------------------------------------------------------------


def test_57_an_admission_of_somebody_who_declined_is_stored_and_offered_and_starts_no_outreach() -> None:
    told = story(enrolled=False)
    told.do(Decline(stream=EPISODE, by=LEAD, how="phone"))
    told.on("2026-03-02 10:00 PST")
    before = told.plan("outreach-1").obligations
    stay = visit(told, "2026-03-10 14:00 PDT", 1, as_=StayClass.INPATIENT, open_episode=False)
    (admitted,) = told.facts(MemberAdmitted, stay)
    assert admitted.admitted_at == at("2026-03-10 14:00 PDT"), "the stay is kept"
    assert len(told.facts(NewEpisodeProposed)) == 1
    assert len(told.facts(OutreachOpened)) == 1
    assert len(told.facts(AssignmentReceived, EPISODE)) == 1
    rules = {o.because.rule for o in told.plan("outreach-1").obligations} - {o.because.rule for o in before}
    assert rules == {"outreach.review.new_episode"}, "a person is asked, and no clock of outreach runs"


def test_57_an_admission_after_a_closure_of_somebody_who_was_enrolled_is_offered_likewise() -> None:
    told = closed()
    visit(told, "2026-03-10 14:00 PDT", 1, as_=StayClass.INPATIENT, open_episode=False)
    assert len(told.facts(NewEpisodeProposed)) == 1
    assert [o.because.rule for o in told.plan("outreach-1").obligations if o.state is ObligationState.OPEN] == [
        "outreach.review.new_episode"
    ]


def test_nothing_is_asked_of_the_dead() -> None:
    told = closed()
    five(told, open_episode=False)
    told.do(ReportDeath(stream=MEMBER, by=LEAD, source="family"))
    assert told.all_owed(LOOK, YEAR) == []

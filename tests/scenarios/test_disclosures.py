"""What goes back to hospitals (domain.md 3.1): who leads an enrolled member's care, unless that fact is protected (31, 32)."""

from __future__ import annotations

from datetime import date
from typing import Any

from domain.episode.closing import CloseEpisode
from domain.episode.disclosing import DiscloseEnrolment
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.member.circumstances import RecordDiagnosis, RuleOutDiagnosis
from domain.member.decider import GiveConsent, WithdrawConsent
from domain.member.disclosures import EnrolmentDisclosed, EnrolmentWithheld
from domain.member.sharing import AuthoriseDataSharing, NameParty, RevokeDataSharing, ShowAuthority
from tests.given import EPISODE, LEAD, MEMBER, Story

ASKED = DiscloseEnrolment(stream=EPISODE, by="source:mercy", inquiry="inquiry-1", to="mercy", evidence="cin+name+birth_date")
ABOUT = {"inquiry": "inquiry-1", "to": "mercy", "episode": EPISODE, "evidence": "cin+name+birth_date"}


def enrolled() -> Story:
    story = Story("2026-11-20 10:00 PST").assigned()
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone"))
    return story


def asked(story: Story) -> Any:
    """What the hospital's question adds to the member's stream."""
    before = len(story.facts(EnrolmentDisclosed, MEMBER) + story.facts(EnrolmentWithheld, MEMBER))
    story.do(ASKED)
    told = [r.fact for r in story.memory.streams[MEMBER] if isinstance(r.fact, EnrolmentDisclosed | EnrolmentWithheld)]
    assert len(told) == before + 1
    return told[-1]


def test_a_hospital_learns_who_leads_the_care_of_its_patient_and_it_is_on_record() -> None:
    assert asked(enrolled()) == EnrolmentDisclosed(lead=LEAD, **ABOUT)


def test_who_is_not_enrolled_or_no_longer_is_nobody_to_tell_of() -> None:
    story = Story("2026-11-20 10:00 PST").assigned()
    assert story.refused(ASKED) == "not_enrolled"
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone"))
    story.do(CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.MOVED_COUNTY))
    assert story.refused(ASKED) == "not_enrolled"


def test_31_with_substance_use_on_record_the_enrolment_itself_is_protected() -> None:
    story = enrolled()
    story.do(RecordDiagnosis(stream=MEMBER, by=LEAD, code="F10.20", learned_from="member"))
    assert asked(story) == EnrolmentWithheld(why="part_2_not_authorised", **ABOUT)
    authorised = AuthoriseDataSharing(
        stream=MEMBER, by=LEAD, content="substance_use", recipients=("facility",), expires_on=date(2026, 12, 31), how="signed form"
    )
    story.do(authorised)
    assert asked(story) == EnrolmentDisclosed(lead=LEAD, **ABOUT)
    story.do(RevokeDataSharing(stream=MEMBER, by=LEAD, authorisation="authorisation-1", reason="said on the phone"))
    assert asked(story) == EnrolmentWithheld(why="part_2_not_authorised", **ABOUT)
    story.do(RuleOutDiagnosis(stream=MEMBER, by=LEAD, code="F10.20", reason="another person's record"))
    assert asked(story) == EnrolmentDisclosed(lead=LEAD, **ABOUT)


def test_31_substance_use_is_protected_where_a_policy_has_no_group_of_that_name() -> None:
    story = Story("2026-11-20 10:00 PST", diagnosis_groups={"hiv": ("B20",)}).assigned()
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone"))
    story.do(RecordDiagnosis(stream=MEMBER, by=LEAD, code="F11.20", learned_from="member"))
    assert asked(story) == EnrolmentWithheld(why="part_2_not_authorised", **ABOUT)


def test_31_an_authorisation_for_somebody_else_or_that_ran_out_is_none() -> None:
    story = enrolled()
    story.do(RecordDiagnosis(stream=MEMBER, by=LEAD, code="F11.2", learned_from="member"))
    for_the_plan = AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="all", recipients=("plan",), how="signed form")
    story.do(for_the_plan)
    assert isinstance(asked(story), EnrolmentWithheld)
    until_monday = AuthoriseDataSharing(
        stream=MEMBER, by=LEAD, content="all", recipients=("facility",), expires_on=date(2026, 11, 23), how="signed form"
    )
    story.do(until_monday)
    assert isinstance(asked(story.on("2026-11-23 23:30 PST")), EnrolmentDisclosed)
    assert isinstance(asked(story.on("2026-11-24 00:30 PST")), EnrolmentWithheld)


def test_32_where_a_conservator_decides_the_members_own_word_is_not_enough() -> None:
    story = enrolled()
    story.do(RecordDiagnosis(stream=MEMBER, by=LEAD, code="F10.20", learned_from="member"))
    story.do(NameParty(stream=MEMBER, by=LEAD, relation="conservator", name="Rosa"))
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="all", recipients=("facility",), how="signed form"))
    assert asked(story) == EnrolmentWithheld(why="legal_authority_not_shown", **ABOUT)
    story.do(ShowAuthority(stream=MEMBER, by=LEAD, party="party-1", scope="share_information", document="court order"))
    given = AuthoriseDataSharing(
        stream=MEMBER, by=LEAD, content="all", recipients=("facility",), given_by="party-1", how="signed form"
    )
    story.do(given)
    assert isinstance(asked(story), EnrolmentDisclosed)


def test_who_took_back_that_anything_is_shared_is_not_told_of_until_they_allow_it_again() -> None:
    story = enrolled()
    story.do(WithdrawConsent(stream=MEMBER, by=LEAD, scope="data_sharing", how="phone"))
    assert asked(story) == EnrolmentWithheld(why="sharing_not_authorised", **ABOUT)
    story.do(GiveConsent(stream=MEMBER, by=LEAD, scope="data_sharing", how="phone"))
    assert isinstance(asked(story), EnrolmentDisclosed)

"""One person under several numbers: merged, separated, kept apart, moved (domain.md 7, scenarios 5, 6, 58; messages.md 6, case 17).

What is expected of a merged person is what the same course of events leads to where one member has it all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.clocks import DueWithdrawn
from domain.core import Command, ProcessRef, Refusal
from domain.episode.closing import CloseEpisode
from domain.episode.decider import ReceiveAssignment
from domain.episode.facts import ClosureReason
from domain.episode.state import claim_on_open_episode
from domain.member import identity
from domain.member.decider import AttributeStay, Member, OptOut, ReportDeath
from domain.member.facts import Channel, DeathReported, DeathReportWithdrawn, StayAttributed, StayDetached
from domain.member.identity import (
    AcceptContactPoint,
    AskWhetherOne,
    ForgetFormerCin,
    ForgetRecordNumber,
    KeepMembersApart,
    LearnFormerCin,
    LearnRecordNumber,
    MembersKeptApart,
    MembersMerged,
    MergeMembers,
    MoveStay,
    ProposeContactPoint,
    RejectContactPoint,
    ReplaceCin,
    RetireRecordNumber,
    SeparateMembers,
    WithdrawCinReplacement,
)
from domain.member.person import the_person
from domain.transition.facts import TransitionalCareEnded
from tests.given import BOSS, EPISODE, LEAD, MEMBER, OFFICE, STAY, TRANSITION, Story, at
from tests.scenarios.hospital_story import HospitalStory

TWIN = "member-2"
THIRD = "member-3"
FEED = "source:mercy"


def two_members(starts: str = "2026-11-02 09:00 PST") -> HospitalStory:
    """An enrolled member, and the same person registered a second time under another CIN."""
    story = HospitalStory(starts)
    story.member(TWIN)
    return story


def hears_of_the_other(story: HospitalStory, episode: str | None = None) -> HospitalStory:
    """A stay that a hospital tells of under the other member's number."""
    story.admitted("2026-11-18 09:30 PST", attributed=False).discharged("2026-11-20 14:00 PST", attributed=False)
    story.do(AttributeStay(stream=TWIN, by=FEED, stay=STAY, episode=episode, evidence="cin+birth_date"))
    return story


def merge(story: Story, survivor: str = MEMBER, retired: str = TWIN, by: str = BOSS) -> None:
    story.do(MergeMembers(stream=survivor, by=by, retired=retired, evidence=("birth_date", "name"), reason="same card shown"))


def separate(story: Story, survivor: str = MEMBER, retired: str = TWIN) -> None:
    story.do(SeparateMembers(stream=survivor, by=BOSS, retired=retired, reason="two people after all"))


def owed(story: HospitalStory) -> list[tuple[str, Any, Any]]:
    return [(o.key, o.state, o.window.due) for o in story.transition.obligations]


# --- merge and separate --------------------------------------------------------------------------------------------------------


def test_a_merge_is_said_on_both_streams_and_copies_nothing() -> None:
    story = hears_of_the_other(two_members())
    merge(story)
    (here,), (there,) = story.facts(MembersMerged, MEMBER), story.facts(MembersMerged, TWIN)
    assert here == there
    assert not story.facts(StayAttributed, MEMBER)
    merge(story)
    assert len(story.facts(MembersMerged, MEMBER)) == 1


def test_58_the_stay_of_the_same_person_under_another_number_starts_its_clocks_once_they_are_merged() -> None:
    story = hears_of_the_other(two_members())
    story.on("2026-11-21 09:00 PST")
    assert story.said() == []
    merge(story)
    plain = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:00 PST")
    plain.on("2026-11-21 09:00 PST")
    assert {(key, due) for key, _, due in owed(story)} == {(key, due) for key, _, due in owed(plain)}


def test_a_merge_after_the_message_and_one_before_it_owe_the_same() -> None:
    late, early = two_members(), two_members()
    hears_of_the_other(late)
    late.on("2026-11-20 15:00 PST")
    merge(late)
    merge(early)
    hears_of_the_other(early, EPISODE)  # the one that the person has open
    early.on("2026-11-20 15:00 PST")
    assert sorted(owed(late)) == sorted(owed(early)) != []


def test_separated_members_are_as_if_they_had_never_been_merged() -> None:
    story = hears_of_the_other(two_members())
    before = {s: story.memory.load(s).state for s in (MEMBER, TWIN)}
    merge(story)
    assert owed(story)
    story.on("2026-11-21 09:00 PST")
    separate(story)
    assert owed(story) == []
    assert story.said(TransitionalCareEnded)
    assert story.said(DueWithdrawn)
    after = {s: story.memory.load(s).state for s in (MEMBER, TWIN)}
    assert after == before
    assert {s: the_person(s, {s: story.memory.load(s)}) for s in after} == before


def test_a_death_and_an_opt_out_under_one_number_count_under_the_other() -> None:
    story = two_members()
    merge(story)
    story.on("2026-11-20 10:00 PST")
    story.do(OptOut(stream=TWIN, by=LEAD, channel=Channel.TEXT))
    story.do(ReportDeath(stream=TWIN, by=FEED, source="hospital"))
    context = {s: story.memory.load(s) for s in (MEMBER, TWIN)}
    whole = the_person(MEMBER, context)
    assert whole.death() is not None and whole.opted_out(Channel.TEXT, story.memory.now)
    assert story.plan(TRANSITION).waiting_for == "death_reported" or not story.plan(TRANSITION).obligations
    separate(story)
    assert the_person(MEMBER, {MEMBER: story.memory.load(MEMBER)}).death() is None


def test_an_episode_is_closed_by_a_death_that_was_reported_under_the_other_number() -> None:
    story = two_members()
    story.on("2026-11-20 10:00 PST")
    story.do(ReportDeath(stream=TWIN, by=FEED, source="hospital"))
    close = CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.DECEASED)
    assert story.refused(close) == "no_report_of_death"
    merge(story)
    story.do(close)


def test_only_a_supervisor_or_an_operator_merges() -> None:
    story = two_members()
    assert story.refused(MergeMembers(stream=MEMBER, by=LEAD, retired=TWIN)) == "not_authorised"
    assert story.refused(MergeMembers(stream=MEMBER, by=FEED, retired=TWIN)) == "actor_unknown"
    merge(story, by=OFFICE)


def test_links_are_a_star() -> None:
    story = two_members()
    story.member(THIRD)
    story.member("member-4")
    merge(story, MEMBER, TWIN)
    assert story.refused(MergeMembers(stream=THIRD, by=BOSS, retired=MEMBER)) == "stands_for_others"
    assert story.refused(MergeMembers(stream=THIRD, by=BOSS, retired=TWIN)) == "merged_already"
    assert story.refused(MergeMembers(stream=TWIN, by=BOSS, retired=THIRD)) == "merged_already"
    assert story.refused(MergeMembers(stream=MEMBER, by=BOSS, retired=MEMBER)) == "same_member"
    merge(story, MEMBER, THIRD)
    context = {s: story.memory.load(s) for s in (MEMBER, TWIN, THIRD)}
    assert story.memory.load(MEMBER).state.identity.absorbed == (TWIN, THIRD)
    assert identity is not None and the_person(TWIN, context) is not None


def test_one_person_has_one_open_episode() -> None:
    story = two_members()
    merge(story)
    again = ReceiveAssignment(stream="episode-2", by="source:plan", member=TWIN, plan="default", received_at=story.memory.now)
    assert story.refused(again) == "episode_open"


def test_6_what_was_kept_apart_says_on_which_evidence() -> None:
    story = two_members()
    apart = KeepMembersApart(stream=MEMBER, by=LEAD, other=TWIN, evidence=("birth_date", "family_name"), reason="twins")
    story.do(apart)
    assert story.facts(MembersKeptApart, TWIN)[0].other == MEMBER
    assert story.do(apart) == ()
    assert story.do(replace(apart, evidence=("birth_date",))) == ()
    assert story.do(replace(apart, evidence=("record_number",)))
    merge(story)
    assert story.refused(replace(apart, evidence=("phone",))) == "merged_already"


# --- CINs (scenario 5) ---------------------------------------------------------------------------------------------------------


def test_5_a_replaced_cin_still_means_the_member_and_the_replacement_can_be_taken_back() -> None:
    story = Story("2026-11-02 09:00 PST")
    before = story.memory.load(MEMBER).state
    claim = "claim-new"
    replaced = ReplaceCin(stream=MEMBER, by=OFFICE, cin_claim=claim, cin="98765432D", reason="state's combined record")
    story.do(replaced)
    member: Member = story.memory.load(MEMBER).state
    assert member.cin == "98765432D"
    assert story.memory.load(claim).state.holder == MEMBER
    assert story.do(replaced) == ()
    story.do(WithdrawCinReplacement(stream=MEMBER, by=OFFICE, cin_claim=claim, reason="another person's"))
    assert story.memory.load(MEMBER).state == before
    assert story.memory.load(claim).state.holder is None


def test_5_a_cin_that_is_another_member_s_is_not_taken_away() -> None:
    story = two_members()
    taken = ReplaceCin(stream=MEMBER, by=OFFICE, cin_claim=f"claim-{TWIN}", cin="98765432D")
    assert story.refused(taken) == "cin_taken"


def test_5_an_older_cin_is_recorded_as_the_member_s_and_taken_back() -> None:
    story = Story("2026-11-02 09:00 PST")
    before: Member = story.memory.load(MEMBER).state
    claim = "claim-old"
    older = LearnFormerCin(stream=MEMBER, by=OFFICE, cin_claim=claim, cin="98765432D", reason="her card of 2019")
    story.do(older)
    member: Member = story.memory.load(MEMBER).state
    assert member.cin == before.cin and member.cins() == (*before.cins(), "98765432D")
    assert story.memory.load(claim).state.holder == MEMBER
    assert story.do(older) == ()
    newer = ReplaceCin(stream=MEMBER, by=OFFICE, cin_claim=claim, cin="98765432D", reason="?")
    assert story.refused(newer) == "cin_frozen"
    story.do(ForgetFormerCin(stream=MEMBER, by=OFFICE, cin_claim=claim, reason="her sister's"))
    assert story.memory.load(MEMBER).state == before
    assert story.memory.load(claim).state.holder is None
    assert story.do(ForgetFormerCin(stream=MEMBER, by=OFFICE, cin_claim=claim, reason="her sister's")) == ()


def test_5_an_older_cin_is_neither_the_one_that_counts_nor_another_member_s() -> None:
    story = two_members()
    own = story.memory.load(MEMBER).state.cin
    counts = LearnFormerCin(stream=MEMBER, by=OFFICE, cin_claim=f"claim-{MEMBER}", cin=own)
    assert story.refused(counts) == "cin_counts"
    taken = LearnFormerCin(stream=MEMBER, by=OFFICE, cin_claim=f"claim-{TWIN}", cin="98765432D")
    assert story.refused(taken) == "cin_taken"
    assert story.refused(replace(taken, by=LEAD)) == "not_authorised"
    merge(story)
    assert story.do(taken) == (), "it means this person by the merge"


def test_whether_two_members_are_one_person_may_be_asked_of_two_who_are_not_merged() -> None:
    story = two_members()
    ask = AskWhetherOne(stream=MEMBER, by=LEAD, other=TWIN, evidence=("cin",), reason="both cards in her purse")
    assert len(story.do(ask)) == 2
    assert story.do(ask) == ()
    assert story.memory.load(TWIN).state.identity.asked == {MEMBER: frozenset({"cin"})}
    story.do(KeepMembersApart(stream=MEMBER, by=LEAD, other=TWIN, evidence=("cin",)))
    assert story.do(ask) == (), "it was answered"
    assert story.refused(replace(ask, other=MEMBER)) == "unknown_member"
    merge(story)
    assert story.refused(ask) == "merged_already"


# --- numbers, contact points ---------------------------------------------------------------------------------------------------


def test_17_a_retired_number_stays_the_member_s() -> None:
    story = Story("2026-11-02 09:00 PST")
    story.do(LearnRecordNumber(stream=MEMBER, by=FEED, authority="mercy", key="a", number="MRN-A"))
    retire = RetireRecordNumber(stream=MEMBER, by=FEED, authority="mercy", key="a", into="b", number="MRN-A")
    story.do(retire)
    assert story.do(retire) == ()
    story.do(LearnRecordNumber(stream=MEMBER, by=FEED, authority="mercy", key="b", number="MRN-B"))
    numbers = story.memory.load(MEMBER).state.identity.numbers
    assert {n.key: n.into for n in numbers.values()} == {"a": "b", "b": ""}
    story.do(ForgetRecordNumber(stream=MEMBER, by=OFFICE, key="b", reason="another patient's"))
    assert set(story.memory.load(MEMBER).state.identity.numbers) == {"a"}


def test_a_hospital_s_phone_number_is_only_proposed() -> None:
    story = Story("2026-11-02 09:00 PST")
    kind = identity.PointKind.PHONE
    asked = ProposeContactPoint(stream=MEMBER, by=FEED, point="p", kind=kind, learned_from="hospital", source="mercy", value="1")
    story.do(asked)
    assert "p" not in story.memory.load(MEMBER).state.points
    assert story.do(asked) == ()
    story.do(AcceptContactPoint(stream=MEMBER, by=LEAD, point="p"))
    assert story.memory.load(MEMBER).state.points["p"].learned_from == "hospital"
    assert story.do(replace(asked, point="p")) == ()
    story.do(replace(asked, point="q", value="2"))
    story.do(RejectContactPoint(stream=MEMBER, by=LEAD, point="q", reason="the mother's"))
    assert story.do(replace(asked, point="q", value="2")) == ()
    assert story.refused(AcceptContactPoint(stream=MEMBER, by=LEAD, point="q")) == "no_such_proposal"


# --- a wrong match -------------------------------------------------------------------------------------------------------------


def test_a_wrong_match_moves_the_stay_and_loses_neither_history() -> None:
    story = two_members()
    story.do(LearnRecordNumber(stream=MEMBER, by=FEED, authority="mercy", key="k", number="MRN-K"))
    story.admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:00 PST")
    story.on("2026-11-21 09:00 PST")
    assert owed(story)
    move = MoveStay(stream=MEMBER, by=BOSS, stay=STAY, rightful=TWIN, numbers=("k",), reason="mistaken identity")
    story.do(move)
    assert owed(story) == []
    assert {w.reason for w in story.said(DueWithdrawn)}
    assert [f.reason for f in story.facts(StayDetached, MEMBER)] == ["mistaken identity"]
    assert [f.stay for f in story.facts(StayAttributed, TWIN)] == [STAY]
    assert not story.memory.load(MEMBER).state.identity.numbers
    assert story.memory.load(TWIN).state.identity.numbers["k"].number == "MRN-K"
    assert story.do(move) == ()


def test_a_death_that_a_wrong_stay_told_of_goes_with_it() -> None:
    story = two_members()
    story.admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:00 PST", to="20")
    story.do(ReportDeath(stream=MEMBER, by=FEED, occurred_at=at("2026-11-20 14:00 PST"), source="hospital"))
    story.do(MoveStay(stream=MEMBER, by=BOSS, stay=STAY, rightful=TWIN, reason="mistaken identity"))
    assert story.facts(DeathReportWithdrawn, MEMBER) and story.facts(DeathReported, TWIN)
    assert story.memory.load(MEMBER).state.death() is None
    assert story.memory.load(TWIN).state.death() is not None


@pytest.mark.parametrize("stands", [True, False])
def test_a_death_that_was_corrected_since_goes_with_its_stay_and_one_that_was_taken_back_goes_nowhere(stands: bool) -> None:
    story = two_members()
    story.admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:05 PST", to="20")
    story.do(ReportDeath(stream=MEMBER, by=FEED, occurred_at=at("2026-11-20 14:05 PST"), source="hospital"))
    story.discharged("2026-11-20 14:00 PST", to="20", heard="2026-11-20 14:30 PST")
    if not stands:
        story.discharge_cancelled("2026-11-20 15:00 PST")
    story.do(MoveStay(stream=MEMBER, by=BOSS, stay=STAY, rightful=TWIN, reason="mistaken identity"))
    assert story.memory.load(MEMBER).state.death() is None
    told = [entry.at for entry in story.memory.load(TWIN).state.deaths]
    assert told == ([at("2026-11-20 14:00 PST")] if stands else [])


# --- laws ----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@for_all(st.lists(st.sampled_from(("merge", "stay", "day", "opt_out")), min_size=1, max_size=6), st.booleans())
@example(["merge", "stay"], False)
@example(["merge", "stay", "day", "merge", "stay"], True)
def test_merge_then_separate_restores_both_whatever_happens_beside_it(steps: list[str], assigned: bool) -> None:
    """With and without a merge that was taken back: the same obligations, the same members; the other one with or without an
    episode of their own, which their stays concern."""

    def lived(merged: bool) -> HospitalStory:
        story, day, joined = two_members(), 18, False
        if assigned:
            plan = {"plan": "default", "received_at": story.memory.now}
            story.do(ReceiveAssignment(stream="episode-2", by="source:plan", member=TWIN, **plan))
        for step in steps:
            match step:
                case "merge" if merged:
                    separate(story) if joined else merge(story)
                    joined = not joined
                case "stay":
                    story.on(f"2026-11-{day} 09:00 PST")
                    stay = f"stay-{day}"
                    story.admitted(f"2026-11-{day} 09:30 PST", stay=stay, attributed=False)
                    own = story.memory.load(claim_on_open_episode(TWIN)).state.holder
                    assert (own == "episode-2") is assigned
                    story.do(AttributeStay(stream=TWIN, by=FEED, stay=stay, episode=own, evidence="cin+name"))
                    story.discharged(f"2026-11-{day} 20:00 PST", stay=stay, attributed=False)
                case "opt_out":
                    story.do(OptOut(stream=TWIN, by=LEAD, channel=Channel.TEXT))
                case "day":
                    day += 1
        if joined:
            separate(story)
        return story.on("2026-11-28 09:00 PST")  # type: ignore[return-value]

    with_it, without = lived(True), lived(False)
    for stream in (MEMBER, TWIN):
        one, other = with_it.memory.load(stream).state, without.memory.load(stream).state
        assert replace(one, stays={}, allowed=()) == replace(other, stays={}, allowed=())  # their events have other ids
        assert {stay: a.episode for stay, a in one.stays.items()} == {stay: a.episode for stay, a in other.stays.items()}
        assert [e.fact for e in one.allowed] == [e.fact for e in other.allowed]
    assert owed(with_it) == owed(without)
    if assigned:
        both = [story.memory.plan(ProcessRef.of("transition-2")).obligations for story in (with_it, without)]
        assert [(o.key, o.state, o.window.due) for o in both[0]] == [(o.key, o.state, o.window.due) for o in both[1]]
    outreach = ProcessRef.of("outreach-1")
    assert with_it.memory.plan(outreach).waiting_for == without.memory.plan(outreach).waiting_for


@pytest.mark.parametrize("command", [MergeMembers(stream=MEMBER, by=BOSS, retired="member-9")])
def test_nobody_is_merged_with_a_stranger(command: Command) -> None:
    story = two_members()
    decision = story.memory.handle(command)
    assert isinstance(decision, Refusal) and decision.code == "unknown_member"

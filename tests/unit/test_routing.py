"""Whom a fact wakes, for every process that is registered; and that a registration says all that others have to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.adoption.facts import PolicyAdopted
from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.catalog import DECIDERS, FACTS, PROCESSES
from domain.core import AllOpen, ProcessRef, Recorded
from domain.episode.facts import MemberEnrolled
from domain.followup.facts import FollowUpContactMade, FollowUpEntrusted, FollowUpOpened, StayNoticed
from domain.interactions import Interaction, SpokenTo
from domain.member.facts import Channel, StayAttributed
from domain.member.identity import MembersMerged, MembersSeparated
from domain.outreach.facts import ContactMade, OutreachOpened
from domain.records import RecordStruckOut
from domain.routing import ends, route, tags, ties
from domain.transition.facts import TransitionContactMade
from tests.given import at
from tests.golden.examples import bare
from workers.programme import the_programme, workflow_of

EVERY = pytest.mark.parametrize("kind", sorted(PROCESSES))
SPOKEN: dict[str, Any] = {"member": "member-m", "interaction": Interaction.PHONE, "spoken_to": SpokenTo.MEMBER}


def said(stream: str, fact: Any) -> Recorded:
    now = at("2026-11-20 10:00 PST")
    return Recorded(fact, "event", stream, 1, 1, now, None, now, "staff-lead")


def woken(stream: str, fact: Any) -> set[str]:
    return {t.stream for t in route(said(stream, fact)) if isinstance(t, ProcessRef)}


@EVERY
def test_a_registration_says_what_opens_ends_and_resumes_the_process(kind: str) -> None:
    process, known = PROCESSES[kind], {entry.type: entry.name for entry in FACTS}
    assert kind in DECIDERS
    for fact in (process.opens, process.ends, process.resumes):
        assert fact is not None and known[fact].startswith(f"{kind}.")
    stream = f"{kind}-1"
    assert process.opens is not None and process.ends is not None and process.resumes is not None
    assert [ends(said(stream, bare(fact))) for fact in (process.opens, process.ends, process.resumes)] == [False, True, False]


@EVERY
def test_its_opening_names_member_episode_and_policies(kind: str) -> None:
    opens = PROCESSES[kind].opens
    assert opens is not None
    fact = bare(opens)
    found = tags(said(f"{kind}-1", fact))
    assert {fact.member, fact.episode, f"policy-{fact.plan}", "policy-default"} <= set(found)


@EVERY
def test_it_is_woken_by_its_own_facts_the_episode_the_member_and_the_policies(kind: str) -> None:
    assert f"{kind}-1" in woken("episode-1", MemberEnrolled(agreed="verbal", to_whom="staff-lead"))
    assert f"{kind}-1" in woken("member-m", StayAttributed(stay="stay-s", episode="episode-1", evidence="by_hand"))
    for stream, fact in (("member-m", bare(StayAttributed)), ("policy-valley", bare(PolicyAdopted))):
        assert AllOpen(kind, stream) in route(said(stream, fact))
    opens = PROCESSES[kind].opens
    assert opens is not None and woken(f"{kind}-1", bare(opens)) >= {f"{kind}-1"}


@EVERY
def test_it_is_woken_by_a_merge_of_its_member(kind: str) -> None:
    for fact in (MembersMerged, MembersSeparated):
        merge = fact(survivor="member-m", retired="member-n", episodes=("episode-1", "episode-2"))
        for stream in ("member-m", "member-n"):
            assert {f"{kind}-1", f"{kind}-2"} <= woken(stream, merge)
            assert AllOpen(kind, stream) in route(said(stream, merge))
    merge = MembersMerged(survivor="member-m", retired="member-n")
    assert ties(said("member-m", merge)) == ("member-n",) and ties(said("member-n", merge)) == ("member-m",)


@EVERY
def test_it_has_a_workflow_of_its_name(kind: str) -> None:
    assert workflow_of(kind) in the_programme().workflows
    assert len(the_programme().workflows) == len(PROCESSES)


def test_follow_up_hears_of_contacts_wherever_they_are_recorded() -> None:
    assert woken("transition-1", TransitionContactMade(**SPOKEN)) == {"transition-1", "followup-1"}
    assert woken("outreach-1", ContactMade(member="member-m", channel=Channel.CALL)) == {"outreach-1", "followup-1"}
    assert woken("outreach-1", RecordStruckOut(record="event", reason="wrong")) == {"outreach-1", "followup-1"}
    assert woken("followup-1", FollowUpContactMade(**SPOKEN)) == {"followup-1"}
    assert woken("outreach-1", bare(OutreachOpened)) == {"outreach-1"}


def test_follow_up_is_found_by_stays_and_people_and_not_by_every_case_of_a_caseload() -> None:
    since = at("2026-11-20 10:00 PST")
    opened = FollowUpOpened(member="member-m", episode="episode-1", plan="valley", policy="valley@1", since=since)
    assert tags(said("followup-1", opened)) == ("member-m", "episode-1", "policy-valley", "policy-default")
    assert tags(said("followup-1", StayNoticed(stay="stay-s"))) == ("stay-s",)
    entrusted = FollowUpEntrusted(lead="staff-lead", supervisor="staff-boss")
    assert tags(said("followup-1", entrusted)) == ("staff-lead", "staff-boss")
    assert tags(said("followup-1", FollowUpEntrusted(lead=None))) == ()


def test_what_a_case_weighs_concerns_follow_up_alone() -> None:
    for fact in (bare(CaseTaken), bare(CaseWeighed), bare(CaseReleased)):
        assert woken("caseload-7", replace(fact, episode="episode-1")) == {"followup-1"}


def test_no_process_hears_what_it_did_not_ask_for() -> None:
    for process in PROCESSES.values():
        own = {entry.type for entry in FACTS if entry.name.startswith(f"{process.kind}.")}
        assert not own & set(process.heeds), f"{process.kind} names facts of its own"

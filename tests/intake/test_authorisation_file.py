"""Authorisation files: approved, extended, denied and ended days, told row by row like members (domain.md 2.2, 2.5, 2.9)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.adoption.decider import AdoptPolicy
from domain.catalog import DECIDERS
from domain.core import Command
from domain.episode.authorisations import AuthorisationBasis, AuthorisationDenied, RequestAuthorisation, authorised
from domain.episode.closing import WithdrawAssignment
from domain.episode.referrals import ReceiveReferral, ReferralAnswered, ReferralSource
from domain.member.decider import RegisterMember
from domain.member.identity import MergeMembers
from domain.staff.facts import Role
from eventlog.gateway import Accepted, Gateway
from eventlog.opening import PolicyShelf
from intake.door import open_door
from intake.files.profiles import FileKind
from intake.files.roster import Receipt
from tests.intake.conftest import INDEX, World, open_world
from tests.intake.making import MARISOL, TOMAS, Person, member_file

PLAN = "valley-health"
POLICY = Path(__file__).resolve().parents[2] / "policies" / f"{PLAN}.toml"
HEADER = "CLIENT INDEX NO;LNAME;BIRTH DT;AUTH NO;DCSN CD;FROM DT;THRU DT;DCSN DT;RSN TXT"
MEMBERS = "CIN,Last Name,First Name,DOB,Gender,Language,Phone,Assignment Effective Date,Action"


@pytest.fixture
def world(database: str) -> Iterator[World]:
    """A front door onto a log that has the plan's policy."""
    bare = open_world(database)
    bare.door.close()
    gateway = Gateway(
        bare.opened.log, clock=bare.clock, deciders=DECIDERS, fingerprint_key=INDEX, books=PolicyShelf(bare.opened.log)
    )
    door = open_door(database, gateway=gateway, keys=bare.opened.keys, index_key=INDEX, clock=bare.clock, sources=bare.door.sources)
    world = World(database, bare.opened, gateway, bare.clock, door)
    text = POLICY.read_text()
    done(world, AdoptPolicy(stream=f"policy-{PLAN}", by="system", text=text, sha256=hashlib.sha256(text.encode()).hexdigest()))
    listed(world, MARISOL)
    yield world
    door.close()
    bare.opened.close()


def done(world: World, command: Command) -> None:
    outcome = world.gateway.handle(command, command_id=uuid4())
    assert isinstance(outcome, Accepted), outcome


def listed(world: World, person: Person) -> None:
    born = f"{person.born[4:6]}/{person.born[6:]}/{person.born[:4]}"
    row = (
        member_file(replace(person, born=born))
        .split(b"\r\n")[1]
        .decode()
        .replace(",English,", ",00,")
        .replace("2026-03-01", "03/01/2026")
    )
    world.door.files.import_file(f"{MEMBERS}\r\n{row},A\r\n".encode(), plan=PLAN)


def load(world: World, *rows: str) -> Receipt:
    raw = "\r\n".join([HEADER, *rows, ""]).encode()
    return world.door.files.import_file(raw, plan=PLAN, kind=FileKind.AUTHORISATIONS, file_name="VH_AUTH_1.csv")


def told(world: World, receipt: Receipt) -> dict[int, tuple[str, str]]:
    return {line.row: (line.outcome.value, line.field) for line in world.door.files.report(receipt.file_id)}


def episode(world: World) -> Any:
    return world.gateway.load(world.member(MARISOL).episodes[-1]).state


WHO = "91234567A;Quillfeather;04/12/1961"
ROWS = (
    f"{WHO};A-1;1;03/01/2026;02/28/2027;;",  # 2 approved
    f"{WHO};A-2;2;03/01/2027;08/31/2027;;",  # 3 extended
    "98765432D;Brackwater;09/30/1948;A-3;1;03/01/2026;02/28/2027;;",  # 4 of somebody whom nobody has listed yet
    f"{WHO};A-1;4;;02/01/2027;;",  # 5 ended before its time
    f"{WHO};A-9;3;;;03/09/2026;criteria not met",  # 6 denied, and nothing was asked
    "91234567A;Quillfeather;05/12/1961;A-4;1;03/01/2026;;;",  # 7 another birth date
    f"{WHO};A-5;0;;;;",  # 8 not decided yet
    f"{WHO};A-6;Z;;;;",  # 9 a code of nobody's
    f"{WHO};A-7;3;;;;no date",  # 10 denied, on no day
    f"{WHO};A-2;2;03/01/2027;08/31/2027;;",  # 11 the third row again
    f"{WHO};A-77;4;;02/01/2027;;",  # 12 ends what was never approved
    f"{WHO};A-8;1;03/01/2026;02/01/2026;;",  # 13 ends before it begins
)
EXPECTED = {
    2: ("accepted", ""), 3: ("accepted", ""), 4: ("waiting", "cin"), 5: ("accepted", ""), 6: ("waiting", "request"),
    7: ("waiting", "birth_date"), 8: ("rejected", "decision"), 9: ("rejected", "decision"), 10: ("rejected", "decided_on"),
    11: ("unchanged", ""), 12: ("waiting", "auth_number"), 13: ("rejected", "auth_end"),
}  # fmt: skip


def test_decisions_of_every_kind_are_told_row_by_row_and_wait_visibly(world: World) -> None:
    receipt = load(world, *ROWS)
    assert told(world, receipt) == EXPECTED
    assert (receipt.accepted, receipt.unchanged, receipt.rejected, receipt.waiting) == (3, 1, 4, 4)
    spans = [(s.number, s.basis, s.first_day, s.last_day) for s in authorised(episode(world).said)]
    assert spans == [
        ("A-1", AuthorisationBasis.INITIAL, date(2026, 3, 1), date(2027, 2, 1)),
        ("A-2", AuthorisationBasis.RENEWAL, date(2027, 3, 1), date(2027, 8, 31)),
    ]
    before = len(world.facts())
    assert load(world, *ROWS).duplicate and len(world.facts()) == before

    listed(world, TOMAS)
    world.door.worker.work_off()
    assert told(world, receipt)[4] == ("accepted", ""), "taken up when the member became known"

    nurse = world.staff(Role.CARE_MANAGER)
    done(world, RequestAuthorisation(stream=world.member(MARISOL).episodes[-1], by=nurse, basis=AuthorisationBasis.STREAMLINED))
    (denied,) = [r for r in world.door.inbox.find(part_of=receipt.file_id) if r.line == 6]
    world.door.inbox.release(denied.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()
    assert told(world, receipt)[6] == ("accepted", "")
    assert [f.communicated_on for f in world.facts("episode-") if isinstance(f, AuthorisationDenied)] == [date(2026, 3, 9)]


def test_a_later_file_takes_the_place_of_what_waited_in_an_earlier_one(world: World) -> None:
    first = load(world, ROWS[2], ROWS[5])
    assert first.waiting == 2
    world.clock.advance(timedelta(days=7))
    second = load(world, ROWS[2], f"{WHO};A-4;1;03/01/2026;02/28/2027;;")
    assert told(world, second) == {2: ("waiting", "cin"), 3: ("accepted", "")}
    assert {line.reason for line in world.door.files.report(first.file_id)} == {"a later file of yours has it again"}
    assert (world.door.files.receipt(first.file_id).waiting, world.door.files.receipt(second.file_id).waiting) == (0, 1)


def referred(world: World, person: Person) -> str:
    """Somebody who is known, and whom a hospital referred to us: the plan owes an answer."""
    member, stream = world.door.identity.member(person.cin), "episode-referred"
    born = f"{person.born[:4]}-{person.born[4:6]}-{person.born[6:]}"
    done(world, RegisterMember(
        stream=member, by="source:hospital", cin_claim=world.door.identity.cin_claim(person.cin), cin=person.cin,
        family_name=person.family, given_name=person.given, birth_date=born,
    ))  # fmt: skip
    done(world, ReceiveReferral(
        stream=stream, by="source:hospital", member=member, plan=PLAN, referral="r-1", source=ReferralSource.HOSPITAL
    ))  # fmt: skip
    return stream


@pytest.mark.parametrize(
    ("row", "answer", "number"),
    [("A-3;1;03/01/2026;02/28/2027;03/10/2026;", "approved", "A-3"), ("A-3;3;;;03/10/2026;not eligible", "denied", "")],
)
def test_a_decision_answers_the_referral_that_waits_for_it(world: World, row: str, answer: str, number: str) -> None:
    stream = referred(world, TOMAS)
    receipt = load(world, f"98765432D;Brackwater;09/30/1948;{row}")
    assert told(world, receipt) == {2: ("accepted", "")}
    (answered,) = [f for f in world.facts("episode-") if isinstance(f, ReferralAnswered)]
    assert (answered.answer, answered.communicated_on) == (answer, date(2026, 3, 10))
    assert [s.number for s in authorised(world.gateway.load(stream).state.said)] == ([number] if number else [])


def test_a_decision_from_before_the_referral_does_not_answer_it(world: World) -> None:
    referred(world, TOMAS)
    load(world, "98765432D;Brackwater;09/30/1948;A-3;3;;;03/01/2026;not eligible")
    assert not [f for f in world.facts("episode-") if isinstance(f, ReferralAnswered)], "the row is about something older"


def test_a_member_who_was_listed_all_along_is_not_listed_for_the_referral(world: World) -> None:
    listed(world, TOMAS)
    boss, stream = world.staff(Role.SUPERVISOR), "episode-referred"
    done(world, WithdrawAssignment(stream=world.member(TOMAS).episodes[-1], by=boss, reason="by mistake"))
    done(world, ReceiveReferral(
        stream=stream, by="source:hospital", member=world.member_of(TOMAS), plan=PLAN, referral="r-1",
        source=ReferralSource.HOSPITAL,
    ))  # fmt: skip
    world.clock.advance(timedelta(days=30))
    listed(world, replace(TOMAS, phone="661-555-0199"))
    answers = [f for f in world.facts("episode-") if isinstance(f, ReferralAnswered)]
    assert not answers, "the list goes on; the plan has said nothing"


def test_an_authorisation_waits_for_the_referral_that_opens_the_episode(world: World) -> None:
    born = f"{TOMAS.born[:4]}-{TOMAS.born[4:6]}-{TOMAS.born[6:]}"
    claim, member = world.door.identity.cin_claim(TOMAS.cin), world.door.identity.member(TOMAS.cin)
    done(world, RegisterMember(
        stream=member, by="source:hospital", cin_claim=claim, cin=TOMAS.cin, family_name=TOMAS.family, given_name=TOMAS.given,
        birth_date=born,
    ))  # fmt: skip
    receipt = load(world, "98765432D;Brackwater;09/30/1948;A-3;1;03/01/2026;02/28/2027;03/10/2026;")
    assert told(world, receipt) == {2: ("waiting", "cin")}
    done(world, ReceiveReferral(
        stream="episode-referred", by="source:hospital", member=member, plan=PLAN, referral="r-1", source=ReferralSource.HOSPITAL
    ))  # fmt: skip
    world.door.worker.work_off()
    assert told(world, receipt) == {2: ("accepted", "")}
    assert [f.answer for f in world.facts("episode-") if isinstance(f, ReferralAnswered)] == ["approved"]


def test_listing_the_member_answers_the_referral_too_and_opens_no_second_episode(world: World) -> None:
    stream = referred(world, TOMAS)
    listed(world, TOMAS)
    assert [f.answer for f in world.facts("episode-") if isinstance(f, ReferralAnswered)] == ["approved"]
    assert world.member(TOMAS).episodes == (stream,)


def test_two_numbers_of_one_person_are_one_member(world: World) -> None:
    """A list with the retired member's CIN is about who goes on."""
    listed(world, TOMAS)
    one, other = world.member_of(MARISOL), world.member_of(TOMAS)
    boss = world.staff(Role.SUPERVISOR)
    done(world, WithdrawAssignment(stream=world.member(TOMAS).episodes[-1], by=boss, reason="two records"))
    done(world, MergeMembers(stream=one, by=boss, retired=other, evidence=("by_hand",), reason="the same woman"))
    world.clock.advance(timedelta(days=30))
    listed(world, replace(TOMAS, phone="661-555-0199"))
    survivor = world.gateway.load(one).state
    assert "+16615550199" in [p.value for p in survivor.points.values()]
    assert len(survivor.episodes) == 1 and len(world.gateway.load(other).state.episodes) == 1, "nobody is opened twice"

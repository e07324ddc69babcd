"""Plans' files as stories: domain.md 7, scenarios 1, 2, 7, 8, 9 and 10; two plans' rosters with what real ones have wrong.

What is expected of each row was worked out by hand beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.core import Command
from domain.episode.closing import CloseEpisode, Decline, WithdrawAssignment
from domain.episode.enrolment import ConflictRaised
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed
from domain.episode.rosters import NamedOnRosterAgain, SettleRosterAbsence, Standing, missing, plan_populations
from domain.member.decider import LearnContactPoint, MarkContactPoint, ReportDeath
from domain.member.facts import PointKind
from domain.staff.facts import Role
from eventlog.gateway import Accepted
from intake.files.reports import as_csv
from intake.files.roster import Receipt
from intake.store.inbox import Status
from tests.intake.conftest import World, open_world
from tests.intake.making import MARISOL, TOMAS, Person, member_file
from tests.intake.rosters import COAST_HEADER, coast, valley, workbook


@pytest.fixture
def world(database: str) -> Iterator[World]:
    world = open_world(database)
    world.adopt("coast-care", "valley-health", "bayside-partners", "valley-health-old", "coast-old")
    yield world
    world.door.close()
    world.opened.close()


def done(world: World, command: Command) -> None:
    outcome = world.gateway.handle(command, command_id=uuid4())
    assert isinstance(outcome, Accepted), outcome


def numbers(receipt: Receipt) -> tuple[int, int, int, int]:
    """(accepted, unchanged, rejected, waiting), which add up to the rows."""
    assert receipt.rows == receipt.accepted + receipt.unchanged + receipt.rejected + receipt.waiting
    return receipt.accepted, receipt.unchanged, receipt.rejected, receipt.waiting


def told(world: World, receipt: Receipt) -> dict[int, tuple[str, str]]:
    """(outcome, fields of which something is said) of each row."""
    found: dict[int, tuple[str, str]] = {}
    for line in world.door.files.report(receipt.file_id):
        fields = [found[line.row][1], line.field] if line.row in found else [line.field]
        found[line.row] = (line.outcome.value, "+".join(part for part in fields if part))
    return found


def episode_of(world: World, person: Person) -> Any:
    return world.gateway.load(world.member(person).episodes[-1]).state


def test_1_2_8_one_bad_row_one_card_number_and_the_file_again(world: World) -> None:
    card = replace(TOMAS, cin="98765432d 7 9180")
    raw = member_file(MARISOL, replace(TOMAS, cin="91234567B"), card)
    receipt = world.door.files.import_file(raw, plan="default")
    assert numbers(receipt) == (2, 0, 1, 0)
    assert told(world, receipt) == {2: ("accepted", ""), 3: ("rejected", "cin"), 4: ("accepted", "cin")}
    assert world.member(TOMAS).cin == "98765432D", "of a card's number the first nine characters count"
    line = next(row for row in world.door.inbox.find(part_of=receipt.file_id) if row.line == 4)
    assert b"98765432d 7 9180" in (world.door.inbox.raw(line.inbox_id) or b""), "the original is kept"
    before = len(world.facts())
    again = world.door.files.import_file(raw, plan="default")
    assert (again.duplicate, again.file_id, len(world.facts())) == (True, receipt.file_id, before)


def test_7_two_plans_list_one_person(world: World) -> None:
    """One person, two coverages, one governing assignment: the second plan's row waits until it is settled whose it is."""
    world.register(MARISOL, plan="valley-health-old")
    other = replace(MARISOL, phone="661-555-0177")
    receipt = world.register(other, plan="coast-old")
    assert numbers(receipt) == (0, 0, 0, 1)
    assert set(world.member(MARISOL).plans(world.clock.now())) == {"valley-health-old", "coast-old"}
    assert len(world.member(MARISOL).points) == 2, "what the other plan knows of how to reach her is not lost"
    assert [f.plan for f in world.facts("episode-") if isinstance(f, AssignmentReceived)] == ["valley-health-old"]

    world.clock.advance(timedelta(days=20))
    row = member_file(MARISOL).split(b"\r\n")[1].decode()
    ended = f"CIN,Last Name,First Name,DOB,Gender,Language,Phone,Assignment Effective Date,Action\r\n{row},TERM\r\n"
    world.door.files.import_file(ended.encode(), plan="valley-health-old")
    world.door.worker.work_off()
    assert numbers(world.door.files.receipt(receipt.file_id)) == (1, 0, 0, 0), "the row that waited was taken up by itself"
    assert [f.plan for f in world.facts("episode-") if isinstance(f, AssignmentReceived)] == ["valley-health-old", "coast-old"]
    assert set(world.member(MARISOL).plans(world.clock.now())) == {"coast-old"}


def test_7_a_person_settles_between_two_plans(world: World) -> None:
    world.register(MARISOL, plan="valley-health-old")
    receipt = world.register(MARISOL, plan="coast-old")
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    assert (line.status, line.reason) == (Status.WAITING, "assigned_under_another_plan")
    world.door.inbox.release(line.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()
    assert [f.reason for f in world.facts("episode-") if isinstance(f, EpisodeClosed)] == [ClosureReason.CHANGED_PLAN]
    assert episode_of(world, MARISOL).plan == "coast-old"


def test_7_a_row_that_waits_for_the_end_of_another_plans_is_taken_up_when_a_person_ends_it(world: World) -> None:
    world.register(MARISOL, plan="valley-health-old")
    receipt = world.register(MARISOL, plan="coast-old")
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    assert (line.status, line.reason) == (Status.WAITING, "assigned_under_another_plan")
    nurse, stream = world.staff(Role.CARE_MANAGER), world.member(MARISOL).episodes[-1]
    world.clock.advance(timedelta(days=1))
    done(world, CloseEpisode(stream=stream, by=nurse, reason=ClosureReason.MOVED_COUNTY))
    world.door.worker.work_off()
    assert world.door.inbox.show(line.inbox_id).row.status is Status.APPLIED
    assert episode_of(world, MARISOL).plan == "coast-old"


def test_7_the_first_plans_rows_are_heard_again_once_the_second_ends_its_own(world: World) -> None:
    """The same row month after month says nothing, until what it stood for has ended."""

    def of_the_first() -> tuple[int, int, int, int]:
        world.clock.advance(timedelta(days=15))
        return numbers(world.register(MARISOL, replace(TOMAS, phone=f"661-555-{world.clock.now():%m%d}"), plan="valley-health-old"))

    assert of_the_first() == (2, 0, 0, 0)
    assert of_the_first() == (1, 1, 0, 0)
    receipt = world.register(MARISOL, plan="coast-old")
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    world.door.inbox.release(line.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()
    assert of_the_first() == (1, 0, 0, 1), "it waits for whose the member is"
    world.clock.advance(timedelta(days=1))
    boss, stream = world.staff(Role.SUPERVISOR), world.member(MARISOL).episodes[-1]
    done(world, WithdrawAssignment(stream=stream, by=boss, reason="taken off their list"))
    world.door.worker.work_off()
    assert episode_of(world, MARISOL).plan == "valley-health-old"


def test_7_who_says_who_somebody_is_has_not_settled_between_two_plans(world: World) -> None:
    world.register(MARISOL, plan="valley-health-old")
    receipt = world.register(replace(MARISOL, born="19610512", family="Quillfether"), plan="coast-old")
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    assert line.status is Status.WAITING and line.reason != "assigned_under_another_plan"
    world.door.inbox.release(line.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    assert (line.status, line.reason) == (Status.WAITING, "assigned_under_another_plan")
    assert not [f for f in world.facts("episode-") if isinstance(f, EpisodeClosed)], "nobody has ended the other plan's episode"


def test_9_who_is_missing_is_asked_about(world: World) -> None:
    people = [replace(MARISOL, cin=f"9000000{n}A", family=f"Family{chr(65 + n)}") for n in range(8)]
    world.register(*people, full_roster=True)
    world.clock.advance(timedelta(days=30))
    receipt = world.register(*people[:7], full_roster=True)
    absent = people[7]
    assert receipt.missing == (world.member_of(absent),)
    state = episode_of(world, absent)
    assert missing(state.said) is not None and state.closure(world.clock.now()) is None, "missing, and nothing ended"

    boss, stream = world.staff(Role.SUPERVISOR), world.member(absent).episodes[-1]
    world.clock.advance(timedelta(days=1))
    done(world, SettleRosterAbsence(stream=stream, by=boss, assignment=Standing.STANDS, reason="left out by mistake"))
    assert missing(episode_of(world, absent).said) is None

    listed = [replace(person, phone="661-555-0100") for person in people]
    world.clock.advance(timedelta(days=30))
    world.register(*listed, full_roster=True)
    world.clock.advance(timedelta(days=30))
    world.register(*listed[:7], full_roster=True)
    assert missing(episode_of(world, absent).said) is not None
    world.clock.advance(timedelta(days=30))
    world.register(*people[:6], *listed[6:], full_roster=True)
    assert missing(episode_of(world, absent).said) is None, "named again: the absence was the list's"
    assert len([f for f in world.facts("episode-") if isinstance(f, NamedOnRosterAgain)]) == 1
    world.clock.advance(timedelta(days=30))
    world.register(*people[:5], *listed[5:7], full_roster=True)
    world.clock.advance(timedelta(days=1))
    done(world, SettleRosterAbsence(stream=stream, by=boss, assignment=Standing.WITHDRAWN, reason="at another provider"))
    assert episode_of(world, absent).closure(world.clock.now())[2] is ClosureReason.ASSIGNMENT_WITHDRAWN


def test_10_a_bad_phone_stays_bad_and_a_better_one_goes_back(world: World) -> None:
    world.register(MARISOL, TOMAS)
    nurse, member = world.staff(Role.CARE_MANAGER), world.member_of(MARISOL)
    (point,) = world.member(MARISOL).points
    done(world, MarkContactPoint(stream=member, by=nurse, point=point, good=False, reason="wrong_number"))
    better = world.door.identity.contact_point(member, "phone", "+16615550188")
    done(world, LearnContactPoint(
        stream=member, by=nurse, point=better, kind=PointKind.PHONE, learned_from="member", value="+16615550188"
    ))  # fmt: skip
    world.clock.advance(timedelta(days=30))
    receipt = world.register(replace(MARISOL, family="Quillfeather-Ames"), TOMAS)
    assert told(world, receipt)[2] == ("accepted", "phone"), "the plan is told that its number does not reach her"
    assert world.member(MARISOL).points[point].bad(world.clock.now())
    (row,) = csv.DictReader(io.StringIO("".join(world.door.files.new_points_csv("default"))))
    assert (row["CIN"], row["New Phone Indicator"], row["Phone"]) == ("91234567A", "Y", "+16615550188")
    assert (row["Phone On File Does Not Reach Member"], row["New Address Indicator"]) == ("Y", "N")
    world.clock.advance(timedelta(days=30))
    world.register(replace(MARISOL, phone="661-555-0188"), TOMAS)
    assert world.member(MARISOL).points[better].learned_from == "member", "where it is from stays"
    assert not list(csv.DictReader(io.StringIO("".join(world.door.files.new_points_csv("default"))))), "the plan has it now"


# --- Coast Care: a workbook a month, everybody in it -----------------------------------------------------------------------------

POWER = "91111111E"
"""Ends with E: with its check digit 2 a spreadsheet takes it for 91111111 times a hundred."""

EXPECTED_OF_COAST = {
    4: ("unchanged", ""),  # as last month
    5: ("accepted", "phone"),  # another tier; the number was found wrong, which the plan is told
    6: ("accepted", "cin"),  # declined with us: a new date on their row takes nobody on again
    7: ("accepted", "cin"),  # moved away and closed here: a new number is kept, no episode is opened
    8: ("waiting", "cin"),  # reported dead
    9: ("waiting", "record_action"),  # opted out, says the plan, and we serve them
    10: ("accepted", "record_action"),  # with another provider: a conflict to settle
    11: ("accepted", ""),  # died, says the plan
    12: ("accepted", ""),  # taken back
    13: ("unchanged", ""),
    14: ("unchanged", ""),  # the same row twice
    15: ("unchanged", "cin"),  # the card's number, in small letters, with a blank
    16: ("unchanged", "cin"),  # the CIN typed as a number
    17: ("accepted", ""),  # the assignment ended in February, says the plan
    18: ("rejected", "assignment_end_date"),  # ended in February, and we never had them
    19: ("waiting", "birth_date"),  # another birth date under this CIN
    20: ("rejected", "cin"),  # no CIN ends with B
    21: ("accepted", "phone"),  # half a phone number: kept as it came
    22: ("rejected", "record_action"),  # opted out, and unknown here
    23: ("rejected", "record_action"),  # with another provider, and unknown here
    24: ("waiting", "last_name"),  # another person under this CIN
    25: ("rejected", "birth_date"),  # a day that there is not
    26: ("accepted", ""),  # a new last name
    27: ("rejected", "record_action"),  # a status that the profile does not know
    28: ("accepted", ""),  # moved: another address
}


def test_the_dirty_roster_of_coast_care(world: World) -> None:
    world.clock.set(datetime(2026, 3, 2, 17, tzinfo=UTC))
    special = {12: {"cin": "90000012A"}, 13: {"cin": POWER}}
    first = [coast(n, **special.get(n, {})) for n in range(1, 21)]
    received = world.door.files.import_file(
        workbook(COAST_HEADER, first, above=0), plan="coast-care", file_name="CC_MIF_202603.xlsx"
    )
    assert numbers(received) == (20, 0, 0, 0)
    assert (received.profile, world.door.inbox.show(received.file_id).row.kind) == ("coast-care", "full_roster")
    nurse = world.staff(Role.CARE_MANAGER)

    def member(n: int) -> str:
        holder = world.gateway.load(world.door.identity.cin_claim(f"9{n:07d}A")).state.holder
        assert isinstance(holder, str)
        return holder

    def state(n: int) -> Any:
        return world.gateway.load(member(n)).state

    first_one = state(1)
    assert [p.value for p in first_one.points.values()] == ["+15625551001", "1 Harbor Way, Seal Beach, CA 00741"]
    assert (first_one.language, first_one.birth_date, first_one.life.counties[0].fact.county) == ("es", "1960-01-02", "orange")
    assert plan_populations(world.gateway.load(first_one.episodes[0]).state.said) == ("homelessness", "smi_sud")

    world.clock.advance(timedelta(days=14))
    phone = next(p.id for p in state(2).points.values() if p.kind is PointKind.PHONE)
    done(world, MarkContactPoint(stream=member(2), by=nurse, point=phone, good=False, reason="wrong_number"))
    done(world, Decline(stream=state(3).episodes[0], by=nurse))
    done(world, CloseEpisode(stream=state(4).episodes[0], by=nurse, reason=ClosureReason.MOVED_COUNTY))
    done(world, ReportDeath(stream=member(5), by=nurse, source="family"))

    world.clock.set(datetime(2026, 4, 1, 17, tzinfo=UTC))
    ended, june = date(2026, 2, 15), date(2026, 6, 1)
    second = [
        coast(1), coast(2, tier=3), coast(3, effective=june), coast(4, phone="562-555-4444"), coast(5, tier=1),
        coast(7, status="Member Opt-Out"), coast(8, status="With other ECM provider"), coast(9, status="Expired"),
        coast(10, status="Disenrolled"), coast(11), coast(11), coast(12, cin="90000012a 3 9180"), coast(13, cin=9111111100),
        coast(14, term=ended), coast(31, term=ended), coast(15, born=date(1971, 5, 5)), coast(32, cin="90000032B"),
        coast(33, phone="555-12"), coast(34, status="Member Opt-Out"), coast(35, status="With other ECM provider"),
        coast(16, family="Somebody", given="Else"), coast(36, born="13/45/1990"), coast(17, family="Newname"),
        coast(18, status="Zzz"), coast(6, address="77 Inland Road"),
    ]  # fmt: skip
    raw = workbook(COAST_HEADER, second, above=2)
    previewed = world.door.files.preview(raw, plan="coast-care", file_name="CC_MIF_202604.xlsx")
    facts = len(world.facts())
    receipt = world.door.files.import_file(raw, plan="coast-care", file_name="CC_MIF_202604.xlsx")
    assert len(world.facts()) > facts
    found = told(world, receipt)
    assert found == EXPECTED_OF_COAST
    assert numbers(receipt) == (10, 5, 6, 4)
    assert len(receipt.missing) == 2 and not receipt.stopped, "the 19th and the 20th"
    assert {o.value: n for o, n in previewed.totals.items()} == {"accepted": 10, "unchanged": 5, "rejected": 6, "waiting": 4}
    assert {line.row: line.outcome.value for line in previewed.lines} == {row: to for row, (to, _) in EXPECTED_OF_COAST.items()}

    assert [e for e in world.facts("episode-") if isinstance(e, ConflictRaised)]
    assert state(9).death() is not None
    closed = [e.reason for e in world.facts("episode-") if isinstance(e, EpisodeClosed)]
    withdrawn = [ClosureReason.ASSIGNMENT_WITHDRAWN] * 2
    assert closed == [ClosureReason.DECLINED, ClosureReason.MOVED_COUNTY, *withdrawn]
    assert state(17).family_name == "Newname" and state(15).birth_date == "1960-01-16" and state(16).given_name == "Robin"
    assert {len(state(n).episodes) for n in (3, 4, 5, 7)} == {1}


def test_the_same_row_again_ends_an_assignment_whose_last_day_is_over(world: World) -> None:
    rows = [coast(1, term=date(2026, 3, 31)), coast(2)]
    for month in (3, 4):
        world.clock.set(datetime(2026, month, 2, 17, tzinfo=UTC))
        raw = workbook(COAST_HEADER, [*rows, coast(2 + month)])
        world.door.files.import_file(raw, plan="coast-care", file_name=f"CC_MIF_20260{month}.xlsx", full_roster=False)
    (closed,) = [f for f in world.facts("episode-") if isinstance(f, EpisodeClosed)]
    assert closed.reason is ClosureReason.ASSIGNMENT_WITHDRAWN


def test_an_assignment_that_ends_on_a_later_day_ends_when_that_day_is_over(world: World) -> None:
    world.clock.set(datetime(2026, 3, 2, 17, tzinfo=UTC))
    world.door.files.import_file(workbook(COAST_HEADER, [coast(1), coast(2)]), plan="coast-care", file_name="CC_MIF_202603.xlsx")
    world.clock.set(datetime(2026, 4, 1, 17, tzinfo=UTC))
    raw = workbook(COAST_HEADER, [coast(1, status="Disenrolled", term=date(2026, 4, 30)), coast(2)])
    receipt = world.door.files.import_file(raw, plan="coast-care", file_name="CC_MIF_202604.xlsx")
    assert told(world, receipt)[4] == ("waiting", "assignment_end_date")
    world.clock.set(datetime(2026, 5, 1, 6, 59, tzinfo=UTC))
    world.door.worker.work_off()
    assert not [f for f in world.facts("episode-") if isinstance(f, EpisodeClosed)], "it is still the last day in California"
    world.clock.set(datetime(2026, 5, 1, 7, 1, tzinfo=UTC))
    world.door.worker.work_off()
    (closed,) = [f for f in world.facts("episode-") if isinstance(f, EpisodeClosed)]
    assert closed.reason is ClosureReason.ASSIGNMENT_WITHDRAWN
    assert told(world, receipt)[4] == ("accepted", "")


# --- Valley Health: an old program's text, only what is new ----------------------------------------------------------------------


def test_the_dirty_changes_of_valley_health(world: World) -> None:
    raw = valley(
        "91000001A;Núñez;José;04/12/61;1;01;12 Elm St;Fresno;CA;93701;10;559-555-0101;Y;H|U;T1;A;03/01/2026;",  # 2 accepted
        "91000002A;O'Hara;Siobhán;12/31/1959;2;00;;;;;15;(661) 555-0102;N;;T2;A;03/01/2026;",  # 3 accepted
        "91000003A;Vang;Mai;07/04/58;2;02;5 Oak Ln;Tulare;CA;93274;54;;N;B;;X;;02",  # 4 never here: nothing to end
        "91000001A;Núñez;José;04/12/61;1;01;12 Elm St;Fresno;CA;93701;10;559-555-0199;Y;H|U;T1;C;03/01/2026;",  # 5 a new number
        "91000004A;Extra;Column;01/02/60;1;00;1 A St;Fresno;CA;93701;10;559-555-0104;N;;T3;A;03/01/2026;;surplus",  # 6 too wide
        '91000005A;Lines;Many;01/03/60;1;00;"Building 2\r\nApartment 5";Fresno;CA;93701;10;559-555-0105;N;;T3;A;03/01/2026;',  # 7
        "91000006A;Else;Where;01/04/60;1;00;1 B St;Fresno;CA;93701;10;;N;;T3;E;;",  # 8 with another provider
        "91000007A;Stale;Row;01/05/60;1;00;1 C St;Fresno;CA;93701;10;;N;;T3;Q;;",  # 9 a code of nobody's
        "91000008A;Unborn;Row;01/05/2061;1;00;1 C St;Fresno;CA;93701;10;;N;;T3;A;;",  # 10 born in 2061
        "91000002A;O'Hara;Siobhán;12/31/1959;2;00;;;;;15;(661) 555-0102;N;;T2;A;03/01/2026;",  # 11 the third row again
    )
    receipt = world.door.files.import_file(raw, plan="valley-health", file_name="VH_ECM_DAILY_20260310.csv")
    assert told(world, receipt) == {
        2: ("accepted", ""), 3: ("accepted", ""), 4: ("unchanged", ""), 5: ("accepted", ""), 6: ("rejected", "row"),
        7: ("accepted", ""), 8: ("rejected", "record_action"), 9: ("rejected", "record_action"), 10: ("rejected", "birth_date"),
        11: ("unchanged", ""),
    }  # fmt: skip
    assert receipt.flags == ("charset_guessed",) and not receipt.missing, "a file of changes misses nobody"
    jose = world.member(Person(cin="91000001A"))
    assert (jose.family_name, jose.given_name, jose.birth_date) == ("Núñez", "José", "1961-04-12")
    assert (jose.language, jose.sex) == ("es", "M")
    assert [p.value for p in jose.points.values() if p.kind is PointKind.PHONE] == ["+15595550101", "+15595550199"]
    lines = world.member(Person(cin="91000005A"))
    assert [p.value for p in lines.points.values() if p.kind is PointKind.ADDRESS] == ["Building 2 Apartment 5, Fresno, CA 93701"]
    report = list(csv.reader(io.StringIO("".join(as_csv(world.door.files.report(receipt.file_id))))))
    assert report[0] == ["row", "outcome", "field", "reason", "remedy"] and len(report) == 11


ADDED = "91000001A;Núñez;José;04/12/61;1;01;12 Elm St;Fresno;CA;93701;10;559-555-0101;Y;H|U;T1;A;03/01/2026;"
"""A row of a member whom Valley Health gives to us."""


def changes(world: World, *rows: str) -> dict[int, tuple[str, str]]:
    world.clock.advance(timedelta(days=1))
    raw = valley(*rows, f"91{world.clock.now():%y%m%d}B;Another;File;01/01/60;1;00;;;;;15;;N;;T1;A;;")
    return told(world, world.door.files.import_file(raw, plan="valley-health", file_name="VH_ECM_DAILY.csv"))


def close(world: World, person: Person) -> None:
    stream = world.member(person).episodes[-1]
    world.clock.advance(timedelta(days=1))
    done(world, CloseEpisode(stream=stream, by=world.staff(Role.CARE_MANAGER), reason=ClosureReason.MOVED_COUNTY))


def test_a_plan_of_changes_may_assign_anew_whom_we_closed(world: World) -> None:
    jose = Person(cin="91000001A")
    changes(world, ADDED)
    close(world, jose)
    assert changes(world, ADDED)[2] == ("unchanged", "cin"), "the same day as ever: listing them still is not listing them anew"
    assert len(world.member(jose).episodes) == 1
    world.clock.advance(timedelta(days=210))
    assert changes(world, ADDED.replace("03/01/2026", "10/01/2026"))[2] == ("accepted", "")
    assert len(world.member(jose).episodes) == 2


def test_whom_the_plan_gave_to_others_and_lists_again_is_assigned_anew(world: World) -> None:
    jose = Person(cin="91000001A")
    changes(world, ADDED)
    close(world, jose)
    assert changes(world, ADDED.replace(";A;", ";E;"))[2] == ("unchanged", "record_action")
    assert changes(world, ADDED)[2] == ("accepted", "")
    assert len(world.member(jose).episodes) == 2


def test_bayside_writes_bars_and_a_title(world: World) -> None:
    raw = (
        "\ufeffBayside Partners - ECM roster\n\nBeneficiary CIN|Patient (Last)|Patient (First)|Born|Housing Status|Best Number|"
        "Enrolment State|Assigned Since|Intensity|Populations\n\n"
        "92000001A|Marsh|Ana|Apr 12, 1961|Unsheltered|510-555-0101|Active|02-Mar-2026|Red|Homeless, Justice\n"
        "92000002A|Reed|Bo|1950-02-30|Housed|510-555-0102|Active|02-Mar-2026|Gold|\n"
    )
    receipt = world.door.files.import_file(raw.encode(), plan="bayside-partners", file_name="bayside_ecm_roster_0302.txt")
    assert told(world, receipt) == {5: ("accepted", ""), 6: ("rejected", "birth_date")}
    member = world.member(Person(cin="92000001A"))
    (assigned,) = [f for f in world.facts("episode-") if isinstance(f, AssignmentReceived)]
    assert (member.birth_date, assigned.effective_on, assigned.plan_tier) == ("1961-04-12", date(2026, 3, 2), "high")


def test_what_a_profile_says_of_its_files_holds_for_files_so_named(world: World) -> None:
    """A plan with a profile may still send a list as anybody does: read by the canonical headers, not taken for all members."""
    everybody = [replace(MARISOL, cin=f"9000000{n}A", family=f"Family{chr(65 + n)}") for n in range(4)]
    for plan in ("coast-care", "valley-health"):
        receipt = world.door.files.import_file(member_file(*everybody[:2]).replace(b"19610412", b"1961-04-12"), plan=plan)
        assert (receipt.rows, receipt.rejected, receipt.stopped, receipt.missing) == (2, 0, "", ())
    assert world.door.files.import_file(member_file(everybody[3]), plan="coast-care").missing == ()

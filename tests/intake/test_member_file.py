"""Member files: read as text, reported by row, applied once (messages.md 5, cases 27 and 28; domain.md scenarios 1 to 4, 8, 10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import uuid4

import pytest

from domain.episode.closing import Decline
from domain.episode.enrolment import PlanTierReported
from domain.episode.facts import AssignmentReceived, AssignmentResent, EpisodeClosed
from domain.episode.rosters import MissedOnRoster, SettleRosterAbsence, Standing
from domain.episode.state import Episode
from domain.member.circumstances import Circumstance, EndCircumstance, LearnCounty
from domain.member.decider import MarkContactPoint, RegisterMember
from domain.member.facts import ContactPointLearned
from domain.member.identity import MergeMembers, ReplaceCin
from domain.staff.facts import Role
from eventlog.gateway import Accepted
from intake.files.lines import BATCH_MAX, Reading, Rows
from intake.files.memberfile import RosterRow, read_date, read_row, read_sheet
from intake.files.profiles import Profile, Profiles, profile_of
from intake.files.roster import MemberFiles, Receipt
from intake.files.tables import FileRefused
from intake.store.inbox import Row, Settlement, Status
from tests.intake.conftest import World
from tests.intake.making import CSV_HEADER, MARISOL, TOMAS, Person, member_file

PROFILE = Profiles().of("default")
TODAY = date(2026, 3, 10)


def totals(receipt: Receipt) -> tuple[int, int, int, int]:
    """(rows, accepted, unchanged, rejected or waiting)."""
    assert receipt.rows == receipt.accepted + receipt.unchanged + receipt.rejected + receipt.waiting
    return receipt.rows, receipt.accepted, receipt.unchanged, receipt.rejected + receipt.waiting


def many(count: int) -> list[Person]:
    return [
        Person(cin=f"9{n:07d}A", mrn="", family=f"Family{chr(65 + n % 26)}", given="Given", born=f"19{50 + n % 40}0101", phone="")
        for n in range(count)
    ]


# --- reading


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_27_marks_and_separators_are_found_out(mark: str, separator: str) -> None:
    text = member_file(MARISOL).decode().replace(",", separator)
    sheet = read_sheet((mark + text).encode(), PROFILE)
    assert sheet.delimiter == separator
    ((number, cells),) = sheet.rows
    assert number == 2
    row = read_row(number, cells, PROFILE, TODAY)
    assert isinstance(row, RosterRow)
    assert (row.cin, row.birth_date, row.phones, row.language) == ("91234567A", date(1961, 4, 12), ("+16615550134",), "en")


def test_27_row_numbers_are_the_sheets() -> None:
    above = f"\r\nECM members March\r\n\r\n{CSV_HEADER}\r\n\r\n"
    text = above + '91234567A,Quill,Ann,19610412,F,,,\r\n"91234567B","Q\r\nX",Ann,19610412,F,,,\r\n'
    sheet = read_sheet(text.encode(), PROFILE)
    assert [number for number, _ in sheet.rows] == [6, 7]
    problems = read_row(*sheet.rows[1], PROFILE, TODAY)
    assert not isinstance(problems, RosterRow)
    assert [(p.row, p.field) for p in problems] == [(7, "cin")]


def test_everything_is_text_and_headers_have_many_names() -> None:
    header = "Member CIN,Surname,First,Date of Birth,ZIP Code,Street,City,State,Zzz\n"
    text = header + "91234567A,Quill,Ann,4/12/1961,01234,1 Elm St,Arvin,CA,x\n"
    sheet = read_sheet(text.encode(), PROFILE)
    assert sheet.unknown_headers == ("Zzz",)
    row = read_row(*sheet.rows[0], PROFILE, TODAY)
    assert isinstance(row, RosterRow)
    assert row.address == "1 Elm St, Arvin, CA 01234"


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"cin": "91234567B"}, "cin"),
        ({"cin": ""}, "cin"),
        ({"birth_date": "12.4.1961"}, "birth_date"),
        ({"birth_date": "4/12/61"}, "birth_date"),
        ({"birth_date": "2061-04-12"}, "birth_date"),
        ({"last_name": "..."}, "last_name"),
        ({"record_action": "perhaps"}, "record_action"),
        ({"assignment_effective_date": "soon"}, "assignment_effective_date"),
    ],
)
def test_a_bad_row_names_field_reason_and_remedy_and_no_value(cells: dict[str, str], field: str) -> None:
    good = {"cin": "91234567A", "last_name": "Quill", "first_name": "Ann", "birth_date": "1961-04-12"}
    problems = read_row(9, good | cells, PROFILE, TODAY)
    assert not isinstance(problems, RosterRow)
    assert [p.field for p in problems] == [field]
    assert problems[0].row == 9
    assert problems[0].reason
    assert problems[0].remedy
    assert all(not value or value not in problems[0].reason + problems[0].remedy for value in cells.values())


@pytest.mark.parametrize(
    "raw", [b"", b"a,b\n1,2\n", b"CIN,Last\n9,Q\n", b"PK\x03\x04zip", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"CIN\0"]
)
def test_a_file_without_the_columns_is_refused_with_a_remedy(raw: bytes) -> None:
    with pytest.raises(FileRefused, match=r"column|workbook|no text"):
        read_sheet(raw, PROFILE)


def test_a_row_of_another_plan_is_rejected_where_the_profile_knows_how_its_plan_calls_itself() -> None:
    profile = profile_of("harbor", '[codes.plan_id]\n"HH-305" = "harbor"\n', "harbor.toml")
    cells = {"cin": "91234567A", "last_name": "Vega", "first_name": "Ana", "birth_date": "1961-04-12"}
    for said in ("", "hh-305"):
        assert isinstance(read_row(2, {**cells, "plan_id": said}, profile, TODAY), RosterRow)
    problems = read_row(2, {**cells, "plan_id": "CC-1"}, profile, TODAY)
    assert isinstance(problems, tuple) and [p.field for p in problems] == ["plan_id"]
    assert isinstance(read_row(2, {**cells, "plan_id": "CC-1"}, PROFILE, TODAY), RosterRow), "nobody can say whose that is"


def test_dates() -> None:
    order = ("iso", "us")
    assert read_date("2026-11-20", order) == read_date("20261120", order) == read_date("11/20/2026", order) == date(2026, 11, 20)
    assert read_date("1961-04-12 00:00:00", order) == read_date("4/12/1961 0:00", order) == date(1961, 4, 12)
    assert read_date("20/11/2026", order) is None


# --- applying


def test_a_row_becomes_a_member_with_an_assignment(world: World) -> None:
    receipt = world.register(MARISOL, TOMAS)
    assert totals(receipt) == (2, 2, 0, 0)
    member = world.member(MARISOL)
    assert (member.family_name, member.birth_date, member.cin) == ("Quillfeather", "1961-04-12", "91234567A")
    assert [(p.kind.value, p.value) for p in member.points.values()] == [("phone", "+16615550134")]
    (assigned, _) = (f for f in world.facts("episode-") if isinstance(f, AssignmentReceived))
    assert (assigned.plan, assigned.effective_on, assigned.received_at) == ("default", date(2026, 3, 1), world.clock.now())
    file = world.door.inbox.show(receipt.file_id)
    assert file.raw == member_file(MARISOL, TOMAS)
    assert (file.row.status, file.row.outcome["accepted"]) == (Status.APPLIED, 2)  # type: ignore[index]
    lines = world.door.inbox.find(part_of=receipt.file_id)
    assert sorted(line.control_id for line in lines) == [f"{file.row.sha256.hex()}:{n}" for n in (2, 3)]
    assert world.caused(lines[-1])[0] == "member.registered"


def test_28_the_same_file_again_appends_nothing(world: World) -> None:
    world.register(MARISOL)
    before = len(world.facts())
    receipt = world.register(MARISOL)
    assert (receipt.duplicate, receipt.flags) == (True, ())
    assert len(world.facts()) == before
    world.register(TOMAS)
    assert world.register(MARISOL).flags == ("other_files_since",), "the plan may mean it anew, and is asked"


def test_a_resent_row_is_unchanged_and_a_changed_one_restarts_no_clock(world: World) -> None:
    world.register(MARISOL)
    world.clock.advance(timedelta(days=8))
    assert totals(world.register(MARISOL, TOMAS)) == (2, 1, 1, 0)
    assert totals(world.register(replace(MARISOL, phone="661-555-0177"), TOMAS)) == (2, 1, 1, 0)
    assert len([f for f in world.facts("episode-") if isinstance(f, AssignmentReceived)]) == 2
    assert len([f for f in world.facts("episode-") if isinstance(f, AssignmentResent)]) == 1
    assert len(world.member(MARISOL).points) == 2


def test_bad_rows_do_not_hold_up_the_others(world: World) -> None:
    wide = member_file(MARISOL, replace(TOMAS, cin="91234567B"), TOMAS) + b"a,b,c,d,e,f,g,h,i\r\n"
    receipt = world.door.files.import_file(wide, plan="default")
    assert totals(receipt) == (4, 2, 0, 2)
    assert [(p.row, p.field) for p in receipt.problems] == [(3, "cin"), (5, "row")]
    dead = world.door.inbox.find(status=Status.DEAD)
    assert sorted((row.line, row.reason) for row in dead) == [(3, "row_rejected"), (5, "row_rejected")]


def test_the_same_cin_with_another_birth_date_waits_for_a_person(world: World) -> None:
    world.register(MARISOL)
    receipt = world.register(replace(MARISOL, born="19700101"))
    assert totals(receipt) == (1, 0, 0, 1)
    assert receipt.waiting == 1
    assert [p.field for p in receipt.problems] == ["birth_date"]
    assert world.member(MARISOL).birth_date == "1961-04-12"


def test_a_new_last_name_is_taken_over(world: World) -> None:
    world.register(MARISOL)
    world.register(replace(MARISOL, family="Married"))
    assert world.member(MARISOL).family_name == "Married"


def test_6_a_twin_under_the_siblings_cin_waits_for_a_person(world: World) -> None:
    world.register(MARISOL)
    receipt = world.register(replace(MARISOL, given="Beatriz"))
    assert totals(receipt) == (1, 0, 0, 1)
    assert [p.field for p in receipt.problems] == ["first_name"]
    assert world.member(MARISOL).given_name == MARISOL.given
    assert totals(world.register(replace(MARISOL, given="M.", phone="661-555-0177"))) == (1, 1, 0, 0)
    assert world.member(MARISOL).given_name == MARISOL.given, "an initial tells nothing new"


def test_a_bad_phone_stays_bad_when_the_plan_sends_it_again(world: World) -> None:
    world.register(MARISOL)
    (point,) = world.member(MARISOL).points
    nurse = world.staff(Role.CARE_MANAGER)
    command = MarkContactPoint(stream=world.member_of(MARISOL), by=nurse, point=point, good=False, reason="wrong_number")
    assert isinstance(world.gateway.handle(command, command_id=uuid4()), Accepted)
    world.register(replace(MARISOL, family="Married"))
    assert world.member(MARISOL).points[point].bad(world.clock.now())
    assert len([f for f in world.facts("member-") if isinstance(f, ContactPointLearned)]) == 1


OF_LIFE = CSV_HEADER + ",Homelessness Indicator,County of Residence,Acuity Level"


def listed(world: World, homeless: str, county: str, tier: str) -> tuple[int, int, int, int]:
    """Marisol's row with what the plan says of her life; a blank at the end, so that no two files are the same bytes."""
    row = member_file(MARISOL).split(b"\r\n")[1].decode()
    number = len(world.door.inbox.find()) % 50
    text = f"{OF_LIFE}\r\n{row},{homeless},{county},{tier}\r\n" + "\r\n" * number
    return totals(world.door.files.import_file(text.encode(), plan="default"))


def test_a_row_says_what_the_plan_knows_of_a_life(world: World) -> None:
    assert listed(world, "Y", "Kern County", "High") == (1, 1, 0, 0)
    life, now = world.member(MARISOL).life, world.clock.now()
    assert life.holds(Circumstance.HOMELESS, now)
    county = life.county(now)
    assert county is not None
    assert (county.fact.county, county.fact.learned_from) == ("kern", "plan_file")
    assert [f.plan_tier for f in world.facts("episode-") if isinstance(f, AssignmentReceived)] == ["High"]


def test_what_the_plan_repeats_for_months_does_not_outweigh_what_we_learned_since(world: World) -> None:
    """She found a home and moved; the plan's next files still say otherwise. A county that is new to them too is taken over."""
    listed(world, "Y", "Kern", "High")
    member, nurse = world.member_of(MARISOL), world.staff(Role.CARE_MANAGER)
    for command in (
        EndCircumstance(stream=member, by=nurse, circumstance=Circumstance.HOMELESS),
        LearnCounty(stream=member, by=nurse, county="Kings", learned_from="member"),
    ):
        world.clock.advance(timedelta(days=1))
        assert isinstance(world.gateway.handle(command, command_id=uuid4()), Accepted)
    world.clock.advance(timedelta(days=20))
    listed(world, "Y", "Kern", "High")
    life, now = world.member(MARISOL).life, world.clock.now()
    assert not life.holds(Circumstance.HOMELESS, now)
    assert [e.fact.county for e in life.counties] == ["kern", "kings"]
    listed(world, "N", "Tulare", "High")
    assert [e.fact.county for e in world.member(MARISOL).life.counties] == ["kern", "kings", "tulare"]


def test_another_tier_of_the_plan_is_kept_beside_the_first(world: World) -> None:
    for tier in ("High", "Low", "Low", ""):
        listed(world, "", "", tier)
        world.clock.advance(timedelta(days=30))
    assert [f.tier for f in world.facts("episode-") if isinstance(f, PlanTierReported)] == ["Low"]


def test_a_terminated_row_withdraws_the_assignment_and_a_new_one_opens_another(world: World) -> None:
    header = CSV_HEADER + ",Action"
    listed = member_file(MARISOL)
    world.register(MARISOL)
    row = listed.split(b"\r\n")[1]
    term = header.encode() + b"\r\n" + row + b",TERM\r\n"
    assert totals(world.door.files.import_file(term, plan="default")) == (1, 1, 0, 0)
    assert [f.reason.value for f in world.facts("episode-") if isinstance(f, EpisodeClosed)] == ["ASSIGNMENT_WITHDRAWN"]
    again = header.encode() + b"\r\n" + row + b",ADD\r\n"
    assert totals(world.door.files.import_file(again, plan="default")) == (1, 1, 0, 0)
    assert len(world.member(MARISOL).episodes) == 2


def test_a_declined_member_is_not_opened_again_by_a_list(world: World) -> None:
    world.register(MARISOL)
    (episode,) = world.member(MARISOL).episodes
    nurse = world.staff(Role.CARE_MANAGER)
    assert isinstance(world.gateway.handle(Decline(stream=episode, by=nurse), command_id=uuid4()), Accepted)
    receipt = world.register(replace(MARISOL, phone="661-555-0177"))
    assert totals(receipt) == (1, 1, 0, 0)
    (line,) = world.door.inbox.find(part_of=receipt.file_id)
    assert line.reason == "declined_before"
    assert world.member(MARISOL).episodes == (episode,)


def test_a_member_of_another_plan_is_not_taken_over(world: World) -> None:
    world.adopt("other-plan")
    world.register(MARISOL)
    receipt = world.register(MARISOL, plan="other-plan")
    assert totals(receipt) == (1, 0, 0, 1)
    assert [p.field for p in receipt.problems] == ["plan_id"]
    (episode,) = world.member(MARISOL).episodes
    state = world.gateway.load(episode).state
    assert isinstance(state, Episode)
    assert state.plan == "default"


def test_28_a_full_roster_that_lost_most_members_stops_and_asks(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    before = len(world.facts())
    shrunk = world.register(*people[:4], full_roster=True)
    assert "6 of 10 members" in shrunk.stopped
    assert len(world.facts()) == before
    file = world.door.inbox.show(shrunk.file_id).row
    assert (file.status, file.reason) == (Status.WAITING, "roster_shrank")
    assert world.register(*people[:4], full_roster=True).stopped == shrunk.stopped
    confirmed = world.register(*people[:4], full_roster=True, confirmed=True)
    assert not confirmed.stopped
    assert (totals(confirmed), len(confirmed.missing)) == ((4, 0, 4, 0), 6)
    assert len(world.facts()) == before + 6
    assert len([f for f in world.facts("episode-") if isinstance(f, MissedOnRoster)]) == 6
    assert not [f for f in world.facts("episode-") if isinstance(f, EpisodeClosed)], "absence ends nobody's episode"


def test_a_roster_that_stopped_is_not_applied_over_a_later_one(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    shrunk = world.register(*people[:4], full_roster=True)
    assert shrunk.stopped
    world.clock.advance(timedelta(days=3))
    world.register(*people[:9], full_roster=True)
    boss = world.staff(Role.SUPERVISOR)
    before = len(world.facts())
    with pytest.raises(FileRefused, match="another full roster since"):
        world.door.files.confirm(shrunk.file_id, reason="plan_said_so", by=boss)
    with pytest.raises(FileRefused, match="another full roster since"):
        world.register(*people[:4], full_roster=True, confirmed=True)
    assert len(world.facts()) == before


def test_a_row_of_an_older_file_is_not_applied_over_a_later_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: MemberFiles, rows: Rows, row: Row, profile: Profile) -> Settlement | Reading:
        raise KeyError(MARISOL.family)

    with monkeypatch.context() as patch:
        patch.setattr(MemberFiles, "read", broken)
        first = world.register(replace(MARISOL, phone="661-555-0155"))
    assert first.waiting == 1
    assert totals(world.register(MARISOL)) == (1, 1, 0, 0)
    world.clock.advance(timedelta(minutes=1))
    world.door.worker.work_off()
    (line,) = world.door.inbox.find(part_of=first.file_id)
    assert (line.status, line.reason) == (Status.IGNORED, "superseded_by_later_file")
    assert [p.value for p in world.member(MARISOL).points.values()] == ["+16615550134"]


def test_a_row_that_waits_does_not_outlive_the_roster_that_leaves_it_out(world: World) -> None:
    world.adopt("other-plan")
    world.register(MARISOL)
    receipt = world.register(MARISOL, *many(9), plan="other-plan", full_roster=True)
    (line,) = world.door.inbox.find(part_of=receipt.file_id, status=Status.WAITING)
    world.clock.advance(timedelta(days=30))
    world.register(*many(9), TOMAS, plan="other-plan", full_roster=True)
    row = world.door.inbox.show(line.inbox_id).row
    assert (row.status, row.reason) == (Status.IGNORED, "left_out_of_later_roster")


def test_whose_row_cannot_be_taken_apart_is_not_missing(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    wide = member_file(*people).replace(people[9].family.encode(), f"{people[9].family}, Jr".encode())
    receipt = world.door.files.import_file(wide, plan="default", full_roster=True)
    assert (receipt.rejected, receipt.missing) == (1, ())


def test_5_who_is_listed_under_a_newer_cin_is_not_missing_under_the_former(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    member, claim = world.member_of(people[9]), world.door.identity.cin_claim("98765400A")
    newer = ReplaceCin(stream=member, by=world.staff(Role.SUPERVISOR), cin="98765400A", cin_claim=claim)
    assert isinstance(world.gateway.handle(newer, command_id=uuid4()), Accepted)
    listed = (*people[:9], replace(people[9], cin="98765400A", phone="661-555-0177"))
    assert world.register(*listed, full_roster=True).missing == ()
    again = world.register(*(replace(person, phone="661-555-0178") for person in listed), full_roster=True)
    assert again.missing == (), "both CINs have been listed by now"
    assert not [f for f in world.facts("episode-") if isinstance(f, MissedOnRoster)]
    assert world.register(*people[:9], full_roster=True).missing == (member,)


def test_whoever_stands_as_the_plan_said_is_asked_about_again_when_left_out_again(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    boss, (episode,) = world.staff(Role.SUPERVISOR), world.member(people[9]).episodes
    for month in range(3):
        world.clock.advance(timedelta(days=30))
        receipt = world.register(*(replace(p, phone=f"661-555-020{month}") for p in people[:9]), full_roster=True)
        assert receipt.missing == (world.member_of(people[9]),)
        world.clock.advance(timedelta(days=1))
        settled = SettleRosterAbsence(stream=episode, by=boss, assignment=Standing.STANDS, reason="left out by mistake")
        assert isinstance(world.gateway.handle(settled, command_id=uuid4()), Accepted)
    assert len([f for f in world.facts("episode-") if isinstance(f, MissedOnRoster)]) == 3


def test_a_few_missing_are_shown_and_nothing_stops(world: World) -> None:
    people = many(10)
    world.register(*people, full_roster=True)
    receipt = world.register(*people[:9], full_roster=True)
    assert not receipt.stopped
    assert receipt.missing == (world.member_of(people[9]),)


def test_an_import_that_broke_off_goes_on_where_it_stopped(world: World) -> None:
    people = many(BATCH_MAX + 6)

    class PulledOutError(RuntimeError):
        pass

    def pull(done: int, of: int) -> None:
        if done == BATCH_MAX:
            raise PulledOutError

    with pytest.raises(PulledOutError):
        world.register(*people, progress=pull)
    (file,) = [row for row in world.door.inbox.find() if row.line is None]
    assert file.status is Status.RECEIVED
    world.clock.advance(timedelta(minutes=11))
    world.door.worker.work_off()
    assert world.door.inbox.show(file.inbox_id).row.status is Status.APPLIED
    assert {line.status for line in world.door.inbox.find(part_of=file.inbox_id)} == {Status.APPLIED}
    assert len([f for f in world.facts("episode-") if isinstance(f, AssignmentReceived)]) == BATCH_MAX + 6


def test_a_row_that_breaks_something_of_ours_does_not_hold_up_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = MemberFiles.read

    def broken(self: MemberFiles, rows: Rows, row: Row, profile: Profile) -> Settlement | Reading:
        if row.line == 2:
            raise KeyError(MARISOL.family)
        return usual(self, rows, row, profile)

    with monkeypatch.context() as patch:
        patch.setattr(MemberFiles, "read", broken)
        assert totals(world.register(MARISOL, TOMAS)) == (2, 1, 0, 1)
    (line,) = world.door.inbox.find(status=Status.RECEIVED)
    assert (line.line, line.error) == (2, "KeyError")
    world.clock.advance(timedelta(minutes=1))
    world.door.worker.work_off()
    assert world.member(MARISOL).registered


# --- a person of two members


def test_rows_about_a_merged_person_are_about_the_episode_that_the_other_member_holds(world: World) -> None:
    world.register(MARISOL)
    boss, retired = world.staff(Role.SUPERVISOR), world.member_of(MARISOL)
    survivor = f"member-{uuid4()}"
    for command in (
        RegisterMember(
            stream=survivor, by="system", cin_claim=world.door.identity.cin_claim(TOMAS.cin), cin=TOMAS.cin,
            family_name=MARISOL.family, given_name=MARISOL.given, birth_date="1961-04-12",
        ),
        MergeMembers(stream=survivor, by=boss, retired=retired, reason="one person"),
    ):  # fmt: skip
        assert isinstance(world.gateway.handle(command, command_id=uuid4()), Accepted)
    again = world.register(replace(MARISOL, phone="(661) 555-0177"))
    assert totals(again) == (1, 1, 0, 0) and len([f for f in world.facts("episode-") if isinstance(f, AssignmentReceived)]) == 1
    assert any(isinstance(f, AssignmentResent) for f in world.facts("episode-"))
    world.register(replace(TOMAS, cin="91111111A"), full_roster=True, confirmed=True)
    assert any(isinstance(f, MissedOnRoster) for f in world.facts("episode-"))
    header, row, *_ = member_file(MARISOL).decode().splitlines()
    term = f"{header},Record Action\r\n{row},TERM\r\n"
    world.door.files.import_file(term.encode(), plan="default")
    assert [f.reason.value for f in world.facts("episode-") if isinstance(f, EpisodeClosed)] == ["ASSIGNMENT_WITHDRAWN"]

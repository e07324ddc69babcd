"""The queries over real facts of the catalog: what is shown, to whom it belongs, what was known when, and what stays sealed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from activities.process_states import ProcessStates, Seen, create_tables
from domain import catalog
from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn
from domain.core import Because, Obligation, ObligationState, ProcessRef, Window
from domain.episode.facts import AssignmentReceived, EpisodeClosed, LeadCareManagerAssigned, MemberEnrolled
from domain.episode.facts import ClosureReason as Closure
from domain.member.facts import (
    Channel,
    Claimed,
    ContactPointLearned,
    EpisodeBegun,
    IdentityCorrected,
    MemberRegistered,
    PersonalDataErased,
    PointKind,
    Released,
    StayAttributed,
    StayDetached,
)
from domain.outreach.facts import AttemptMade, Outcome, OutreachOpened
from domain.requests import DeliveryBegun, MessageRequested, MessageSent
from domain.staff.facts import AbsenceAnnounced, Licence, LicenceShown, Role, RoleGranted, StaffJoined
from domain.stay.facts import MemberAdmitted, MemberDischarged, StayClass, order_of
from domain.transition.facts import TransitionalCareEnded, TransitionalCareOpened
from eventlog.keys import KeyRing
from intake.store import inbox
from projections import asking, sentences, sentences_of_the_year
from projections.queries import BadFilter, NotReady, Queries
from projections.registry import read_models
from projections.runner import Projector
from tests.projections.conftest import INDEX_KEY, MASTER, NOON, World

DAY = timedelta(days=1)


@dataclass(slots=True)
class Programme:
    """The read models of the programme over a log that a pen writes."""

    world: World
    projector: Projector
    queries: Queries
    states: ProcessStates

    def shown(self) -> Queries:
        self.projector.run_until_caught_up()
        return self.queries

    def member(self, family: str = "Plantagenet", given: str = "Ada", **more: Any) -> str:
        stream = f"member-{uuid4()}"
        said = MemberRegistered(family_name=family, given_name=given, cin=more.pop("cin", "90000000A"), birth_date="1960-05-04")
        self.world.pen.write(stream, said, **more)
        return stream

    def episode(self, member: str, plan: str = "sunrise", *, at: datetime = NOON, lead: str | None = None) -> str:
        """The uuid of an episode of the member."""
        uuid = str(uuid4())
        self.world.pen.write(f"episode-{uuid}", AssignmentReceived(member=member, plan=plan, received_at=at), at=at)
        self.world.pen.write(member, EpisodeBegun(episode=f"episode-{uuid}"), at=at)
        if lead is not None:
            self.world.pen.write(f"episode-{uuid}", LeadCareManagerAssigned(staff=lead), at=at)
        return uuid

    def planned(self, process: str, member: str, plan: str, *owed: Obligation, **more: Any) -> None:
        seen = Seen(
            process=ProcessRef.of(process), position=more.pop("position", 1), now=NOON, wake_at=more.pop("wake_at", NOON + DAY),
            done=more.pop("done", False), stuck=more.pop("stuck", ""), waiting_for=more.pop("waiting_for", "contact"),
            effects=(), obligations=owed, member=member, plan=plan, **more,
        )  # fmt: skip
        assert self.states.write(seen)


def owed(key: str, due: datetime, *, state: ObligationState = ObligationState.OPEN, rule: str = "initial_contact.contact",
         owed_by: str = "role:care_manager", **more: Any) -> Obligation:  # fmt: skip
    return Obligation(
        key=key, window=Window(due - 10 * DAY, due, due + 5 * DAY), act_by=due - timedelta(hours=3), state=state, owed_by=owed_by,
        because=Because(rule, "sunrise@1"), **more,
    )  # fmt: skip


def due_set(key: str, due: datetime, *, generation: int = 0, **more: Any) -> DueSet:
    return DueSet(
        key=key, rule=more.pop("rule", "initial_contact.contact"), generation=generation, opens_at=NOON, due_at=due,
        closes_at=due + 5 * DAY, policy=more.pop("policy", "sunrise@1"), cause=(), **more,
    )  # fmt: skip


def missed(key: str, due: datetime) -> DeadlineMissed:
    return DeadlineMissed(
        key=key,
        rule="initial_contact.contact",
        due_at=due,
        policy="sunrise@1",
        governing=True,
        late_on_arrival=False,
        learned_at=NOON,
    )


@pytest.fixture
def programme(world_of: Callable[[Sequence[Any]], World]) -> Programme:
    world = world_of(catalog.FACTS)
    create_tables(world.pool)
    inbox.create(world.url)
    projector = world.projector(*read_models(INDEX_KEY))
    return Programme(world, projector, Queries(world.pool, world.log, index_key=INDEX_KEY), ProcessStates(world.pool))


# --- histories -----------------------------------------------------------------------------------------------------------------


def test_a_members_timeline_goes_over_all_their_streams(programme: Programme) -> None:
    ada, other = programme.member(), programme.member("Bourbon", "Bo")
    uuid = programme.episode(ada)
    programme.episode(other)
    stay = f"stay-{uuid4()}"
    pen = programme.world.pen
    pen.write(
        f"outreach-{uuid}",
        AttemptMade(member=ada, channel=Channel.CALL, outcome=Outcome.VOICEMAIL, minutes=3, note="ask for Planted Person"),
        at=NOON + DAY,
        by="staff-1",
        whose=ada,
    )
    pen.write(stay, _admitted(NOON + 2 * DAY), at=NOON + 2 * DAY, said_at=NOON + 2 * DAY, by="source:mercy", message_id="m-1")
    pen.write(ada, StayAttributed(stay=stay, episode=f"episode-{uuid}", evidence="cin+birth_date"), at=NOON + 3 * DAY)
    page = programme.shown().timeline(member=ada)
    assert [(e.kind, e.sentence) for e in page.items] == [
        ("member", "Member registered"),
        ("episode", "Assigned by the plan sunrise"),
        ("member", "An episode of this member began"),
        ("outreach", "Attempt by call: voicemail, 3 min"),
        ("stay", "Admitted (inpatient)"),
        ("member", "A hospital stay is this member's (cin and birth date)"),
    ]
    attempt = page.items[3]
    assert attempt.actor == "staff-1" and attempt.sealed and attempt.personal == ()
    assert page.items[4].message_id == "m-1" and page.items[4].said_at == NOON + 2 * DAY


def _admitted(at: datetime, **more: Any) -> MemberAdmitted:
    return MemberAdmitted(
        order=order_of(at, at, "c1", "d"), received_at=at, source="mercy", facility="Mercy", stay_class=StayClass.INPATIENT,
        admitted_at=at, **more,
    )  # fmt: skip


def _discharged(at: datetime, disposition: str = "01", **more: Any) -> MemberDischarged:
    return MemberDischarged(
        order=order_of(at, at, "c2", "d"), received_at=at, source="mercy", facility="Mercy", discharged_at=at,
        disposition=disposition, **more,
    )  # fmt: skip


def test_as_of_asks_what_had_happened_and_known_at_what_was_recorded(programme: Programme) -> None:
    ada = programme.member()
    uuid = programme.episode(ada)
    outreach = f"outreach-{uuid}"
    for day, learned in ((1, 1), (2, 6)):
        programme.world.pen.write(
            outreach,
            AttemptMade(member=ada, channel=Channel.CALL, outcome=Outcome.NO_ANSWER, minutes=day),
            at=NOON + day * DAY,
            recorded_at=NOON + learned * DAY,
            whose=ada,
        )
    queries = programme.shown()

    def attempts(**when: Any) -> list[str]:
        return [e.sentence[-5:] for e in queries.timeline(member=ada, **when).items if e.kind == "outreach"]

    assert attempts() == ["1 min", "2 min"]
    assert attempts(as_of=NOON + DAY) == ["1 min"], "an instant is included"
    assert attempts(as_of=NOON + 3 * DAY, known_at=NOON + 5 * DAY) == ["1 min"], "it had happened, nobody here knew"
    assert attempts(known_at=NOON + 6 * DAY) == ["1 min", "2 min"]


def test_a_stay_is_in_the_history_while_it_was_known_to_be_the_members(programme: Programme) -> None:
    ada = programme.member()
    stay = f"stay-{uuid4()}"
    pen = programme.world.pen
    pen.write(stay, _admitted(NOON), recorded_at=NOON)
    pen.write(ada, StayAttributed(stay=stay, episode=None, evidence="by_hand"), recorded_at=NOON + 2 * DAY)
    pen.write(ada, StayDetached(stay=stay, reason="other_person"), recorded_at=NOON + 4 * DAY)
    queries = programme.shown()

    def has_stay(known_at: datetime | None) -> bool:
        return any(e.kind == "stay" for e in queries.timeline(member=ada, known_at=known_at).items)

    assert [has_stay(NOON + n * DAY) for n in (1, 2, 3, 4, 5)] == [False, True, True, False, False]
    assert not has_stay(None)


def test_personal_data_are_unsealed_on_request_and_gone_after_erasure(programme: Programme) -> None:
    ada = programme.member("Planted", "Person")
    uuid = programme.episode(ada)
    attempt = AttemptMade(member=ada, channel=Channel.CALL, outcome=Outcome.REACHED, note="Planted note")
    programme.world.pen.write(f"outreach-{uuid}", attempt, whose=ada)
    queries = programme.shown()

    def said() -> dict[str, str]:
        return {k: v for e in queries.timeline(member=ada, unseal=True).items for k, v in e.personal}

    assert said()["note"] == "Planted note" and said()["family_name"] == "Planted"
    assert queries.names([ada]) == {ada: "Person Planted"}
    assert queries.members(text="plan", names=True).items[0].name == "Person Planted"

    programme.world.pen.write(ada, PersonalDataErased(reason="asked"))
    keys = KeyRing(programme.world.url + "_keys", MASTER)
    keys.destroy(ada)
    keys.close()
    queries = _fresh(programme)
    assert queries.names([ada]) == {} and queries.members(text="plan").items == ()
    assert all(e.personal == () for e in queries.timeline(member=ada, unseal=True).items)
    assert queries.members().items[0].erased_at is not None


def _fresh(programme: Programme) -> Queries:
    """Queries whose process has not cached the key."""
    from eventlog import opening

    url = programme.world.url
    opened = opening.open_log(url, url + "_keys", master_key=MASTER, facts=catalog.FACTS)
    programme.projector.run_until_caught_up()
    return Queries(programme.world.pool, opened.log, index_key=INDEX_KEY)


def test_no_read_model_holds_what_is_personal(programme: Programme) -> None:
    ada = programme.member("Plantedfamily", "Plantedgiven", cin="98765432A")
    uuid = programme.episode(ada, lead="staff-7")
    pen = programme.world.pen
    pen.write(ada, ContactPointLearned(point="p1", kind=PointKind.PHONE, learned_from="staff", value="+15550101"))
    pen.write(ada, IdentityCorrected(family_name="Plantedother", reason="Plantedreason"))
    pen.write(
        f"outreach-{uuid}", AttemptMade(member=ada, channel=Channel.CALL, outcome=Outcome.REACHED, note="Plantednote"), whose=ada
    )
    pen.write("staff-7", StaffJoined(name="Plantedstaff", email="planted@example.org", phone="+15550102"))
    programme.shown()
    tables = programme.world.rows("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('read', 'projections')")
    assert len(tables) > 12
    text = "\n".join(str(programme.world.rows(f'SELECT t::text FROM "{schema}"."{name}" t')).casefold() for schema, name in tables)
    for planted in ("planted", "98765432a", "5550101", "5550102", "1960-05-04"):
        assert planted not in text
    assert "attempt by call" in text, "the scan is not blind"


# --- members, episodes, staff --------------------------------------------------------------------------------------------------


def test_members_are_found_by_name_number_and_birth_date(programme: Programme) -> None:
    jose = programme.member("García-López", "José", cin="90000001A")
    joan = programme.member("Garland", "Joan", cin="90000002A")
    programme.member("Smith", "Li", cin="90000003A")
    queries = programme.shown()

    def found(**by: Any) -> set[str]:
        return {m.member for m in queries.members(**by).items}

    assert found(text="garc") == {jose} and found(text="gar") == {jose, joan}
    assert found(text="jos gar") == {jose} and found(text="LOPEZ") == {jose} and found(text="li smith") != set()
    assert found(text="arc") == set() and found(cin="9000 0001 a") == {jose} and found(cin="90000001A91234") == {jose}
    assert len(found(birth_date=date(1960, 5, 4))) == 3 and found(birth_date=date(1960, 5, 5)) == set()
    with pytest.raises(BadFilter, match="text: give the beginning of a name"):
        queries.members(text="123")


def test_a_search_by_name_goes_on_with_a_cursor(programme: Programme) -> None:
    members = [programme.member("Tudor", f"Anne{'abcdefg'[n]}") for n in range(7)]
    queries = programme.shown()
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = queries.members(text="tud", limit=3, cursor=cursor)
        seen += [m.member for m in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(members)


def test_the_directory_follows_an_episode(programme: Programme) -> None:
    ada = programme.member()
    uuid = programme.episode(ada, lead="staff-1")
    pen = programme.world.pen
    episode = f"episode-{uuid}"
    assert programme.shown().episode(episode).status == "assigned"  # type: ignore[union-attr]
    pen.write(episode, MemberEnrolled(agreed="verbal", to_whom="staff-1"), at=NOON + DAY)
    assert programme.shown().episodes(status="enrolled", care_manager="staff-1").items[0].enrolled_at == NOON + DAY
    pen.write(episode, EpisodeClosed(reason=Closure.GOALS_MET), at=NOON + 9 * DAY)
    card = programme.shown().member(ada, names=True)
    assert card is not None and card.member.name == "Ada Plantagenet" and card.member.status == "closed"
    assert [(e.status, e.closed_because, e.closed_at) for e in card.episodes] == [("closed", "GOALS_MET", NOON + 9 * DAY)]
    assert programme.queries.member("member-nobody") is None
    with pytest.raises(BadFilter, match="status: it must be one of assigned"):
        programme.queries.episodes(status="lost")


def test_staff_and_their_absences(programme: Programme) -> None:
    pen = programme.world.pen
    pen.write("staff-1", StaffJoined(languages=("en", "es"), name="Nia Nurse"), RoleGranted(role=Role.CARE_MANAGER))
    pen.write("staff-1", LicenceShown(licence=Licence.RN, expires_on=date(2027, 1, 31)))
    pen.write("staff-1", AbsenceAnnounced(first_day=date(2026, 12, 24), last_day=date(2026, 12, 26)))
    pen.write("staff-2", StaffJoined(name="Sam Super"), RoleGranted(role=Role.SUPERVISOR))
    queries = programme.shown()
    assert [s.name for s in queries.staff(role="care_manager", names=True).items] == ["Nia Nurse"]
    assert [s.staff for s in queries.staff(absent_on=date(2026, 12, 26)).items] == ["staff-1"]
    assert [s.staff for s in queries.staff(working_on=date(2026, 12, 26)).items] == ["staff-2"]
    nurse = queries.staff_member("staff-1")
    assert nurse is not None and nurse.licences[0].expires_on == date(2027, 1, 31) and nurse.languages == ("en", "es")


# --- what is owed --------------------------------------------------------------------------------------------------------------


def test_the_worklist_is_filtered_and_paged(programme: Programme) -> None:
    leads = ("staff-1", "staff-2")
    for n in range(6):
        member = programme.member()
        plan = ("sunrise", "valley")[n % 2]
        uuid = programme.episode(member, plan, lead=leads[n % 2])
        item = owed(f"k{n}", NOON + (n - 2) * DAY)
        late = owed("late", NOON - timedelta(hours=23), state=ObligationState.MISSED, owed_by="staff-9")
        gone = owed("gone", NOON - 9 * DAY, state=ObligationState.MISSED)
        rests = owed("rests", NOON + DAY, suspended=True)
        met = owed("met", NOON, state=ObligationState.MET)
        programme.planned(f"outreach-{uuid}", member, plan, item, *((late, gone, rests, met) if n == 0 else ()))
    queries = programme.shown()

    def keys(**by: Any) -> list[str]:
        return [w.key for w in queries.worklist(now=NOON, **by).items]

    assert keys() == ["k0", "k1", "late", "k2", "k3", "k4", "k5"], "by act_by; neither met, suspended nor past its window"
    assert keys(plan="valley") == ["k1", "k3", "k5"] == keys(care_manager="staff-2")
    assert keys(care_manager="staff-9") == ["late"]
    assert keys(overdue=True) == ["k0", "k1", "late", "k2"] and keys(due_after=NOON + DAY) == ["k3", "k4", "k5"]
    assert (
        keys(due_before=NOON) == ["k0", "k1", "late"]
        and keys(states=("met",)) == ["met"]
        and keys(states=("suspended",)) == ["rests"]
    )
    assert keys(rule="initial") == keys() and keys(rule="transition") == [] and keys(kind="transition") == []
    seen: list[str] = []
    cursor = None
    while True:
        page = queries.worklist(now=NOON, limit=2, cursor=cursor, names=True)
        seen += [w.key for w in page.items]
        assert all(w.member_name == "Ada Plantagenet" for w in page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == keys()
    first = queries.worklist(now=NOON).items[0]
    assert first.what == "initial contact: contact" and first.overdue and first.lead == "staff-1"


@pytest.mark.parametrize("cursor", ["nonsense", "", "WyJ4Il0", "★", "A" * 5_000, "W10", "bnVsbA", "e30"])
def test_a_cursor_that_no_query_gave_is_refused(programme: Programme, cursor: str) -> None:
    with pytest.raises(BadFilter, match=r"^cursor"):
        programme.queries.worklist(now=NOON, cursor=cursor)


WORK_ORDER = "o.act_by,o.process,o.key"


@pytest.mark.parametrize(
    "parts",
    [
        [WORK_ORDER, "Okafor", "outreach-1", "k"],
        [WORK_ORDER, "2026-11-02T20:00:00", "outreach-1", "k"],
        [WORK_ORDER, 20261102, "outreach-1", "k"],
        [WORK_ORDER, "2026-11-02T20:00:00Z", 7, "k"],
        [WORK_ORDER, "2026-11-02T20:00:00Z", None, "k"],
        [WORK_ORDER, "2026-11-02T20:00:00Z", {"a": 1}, ["k"]],
        [WORK_ORDER, "2026-11-02T20:00:00Z", "outreach-1", "a\x00b"],
        [WORK_ORDER, "2026-11-02T20:00:00Z", "outreach-1"],
        [WORK_ORDER, "2026-11-02T20:00:00Z", "outreach-1", "k", "more"],
        ["o.act_by", "2026-11-02T20:00:00Z"],
        [7, "2026-11-02T20:00:00Z", "outreach-1", "k"],
    ],
)
def test_a_forged_cursor_never_reaches_the_database(programme: Programme, parts: list[object]) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
    with pytest.raises(BadFilter, match=r"^cursor"):
        programme.queries.worklist(now=NOON, cursor=cursor)


SAMPLE = {str: "outreach-1", int: 7, datetime: NOON, date: NOON.date(), UUID: uuid4()}
PG_TYPES = {25: str, 20: int, 23: int, 1184: datetime, 1082: date, 2950: UUID}
"""What psycopg makes of a column, by PostgreSQL's number of its type."""


def test_a_cursor_holds_of_every_order_the_types_that_its_columns_have(
    programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column whose name says another type than it has would make a query refuse its own cursors."""
    queries, asked, plainly = programme.shown(), [], asking.Ask.sql

    def noted(ask: asking.Ask) -> tuple[str, list[Any]]:
        asked.append((ask.by, plainly(ask)))
        return plainly(ask)

    monkeypatch.setattr(asking.Ask, "sql", noted)
    member = programme.member()
    queries.worklist(now=NOON)
    queries.deadlines(now=NOON)
    queries.transitions(now=NOON)
    queries.timeline(member=member)
    queries.timeline(member=member, order="recorded")
    queries.members()
    queries.episodes()
    queries.staff()
    queries.policies()
    queries.processes(now=NOON)
    queries.messages()
    queries.inbox(now=NOON)
    assert {by[0] for by, _ in asked} >= {"o.act_by", "q.due_at", "q.opened_at", "t.occurred_at", "t.position", "m.registered_at",
        "e.received_at", "f.joined_at", "p.plan", "s.process", "g.asked_at", "i.received_at"}  # fmt: skip
    with psycopg.connect(programme.world.url) as conn:
        for by, (query, values) in asked:
            described = conn.execute(query, values).description
            assert described is not None
            has = tuple(PG_TYPES[column.type_code] for column in described[-len(by) :])
            assert tuple(getattr(asking.type_of(c), "__origin__", asking.type_of(c)) for c in by) == has, by
            ask, sample = asking.Ask("").order(*by), tuple(SAMPLE[kind] for kind in has)
            assert ask.page(1, ask.cursor_after(sample)).after == sample


def test_limits_are_named(programme: Programme) -> None:
    for limit in (0, 1_001):
        with pytest.raises(BadFilter, match="limit: it must lie between 1 and 1000"):
            programme.queries.worklist(now=NOON, limit=limit)


def test_every_due_has_a_verdict(programme: Programme) -> None:
    ada = programme.member()
    uuid = programme.episode(ada, lead="staff-1")
    outreach, pen = f"outreach-{uuid}", programme.world.pen
    due = NOON + 10 * DAY
    for key in ("open", "met", "missed", "late", "withdrawn", "reversed", "moved", "unplanned", "over"):
        pen.write(outreach, due_set(key, NOON - DAY if key == "over" else due))
    for key in ("missed", "late", "reversed"):
        pen.write(outreach, missed(key, due))
    pen.write(outreach, DueWithdrawn(key="withdrawn", rule="initial_contact.contact", reason="declined"))
    pen.write(outreach, MissWithdrawn(key="reversed", rule="initial_contact.contact", due_at=due, reason="learned_late"))
    pen.write(outreach, due_set("moved", due + DAY, generation=1, policy="sunrise@2"))
    states = {
        "open": ObligationState.OPEN,
        "met": ObligationState.MET,
        "late": ObligationState.MET_LATE,
        "reversed": ObligationState.MET,
    }
    programme.planned(outreach, ada, "sunrise", *(owed(key, due, state=state) for key, state in states.items()))
    queries = programme.shown()
    found = {d.key: d for d in queries.deadlines(now=NOON, member=ada).items}
    assert {key: d.verdict for key, d in found.items()} == {
        "open": "open", "met": "met", "missed": "missed", "late": "met_late", "withdrawn": "withdrawn", "reversed": "met",
        "moved": "open", "unplanned": "open", "over": "not_missed",
    }  # fmt: skip
    assert found["reversed"].miss_withdrawn_because == "learned_late" and found["withdrawn"].withdrawn_because == "declined"
    moved = found["moved"]
    assert moved.due_at == due + DAY and moved.generation == 1 and moved.policy == "sunrise@2"
    assert [(e.due_at, e.policy) for e in moved.earlier] == [(due, "sunrise@1")]
    assert [d.key for d in queries.deadlines(now=NOON, verdicts=("missed",), plan="sunrise", care_manager="staff-1").items] == [
        "missed"
    ]


def test_the_transitions_board(programme: Programme) -> None:
    ada = programme.member()
    uuid = programme.episode(ada, lead="staff-1")
    stay, process, pen = f"stay-{uuid4()}", f"transition-{uuid}", programme.world.pen
    pen.write(stay, _admitted(NOON), at=NOON)
    pen.write(ada, StayAttributed(stay=stay, episode=f"episode-{uuid}", evidence="by_hand"))
    opened = TransitionalCareOpened(
        stay=stay, member=ada, episode=f"episode-{uuid}", plan="sunrise", policy="sunrise@1", since=NOON
    )
    pen.write(process, opened)
    (row,) = programme.shown().transitions(now=NOON, status="admitted", names=True).items
    assert (row.member_name, row.lead, row.facility, row.admitted_at) == ("Ada Plantagenet", "staff-1", "Mercy", NOON)

    left = NOON + 3 * DAY
    pen.write(stay, _discharged(left, "06"), at=left)
    for item, days in (("call", 2), ("visit", 7), ("medication_reconciliation", 30)):
        pen.write(process, due_set(f"{item}/{stay}", left + days * DAY, rule=f"transition.{item}"))
    for rule in ("notice", "notice_read"):
        pen.write(process, due_set(f"{rule}/{stay}", NOON + DAY, rule=f"transition.{rule}"))
    programme.planned(
        process,
        ada,
        "sunrise",
        owed(f"call/{stay}", left + 2 * DAY, state=ObligationState.MET, rule="transition.call"),
        owed(f"visit/{stay}", left + 7 * DAY, rule="transition.visit"),
        *(
            owed(f"{rule}/{stay}", NOON + DAY, state=ObligationState.MET, rule=f"transition.{rule}")
            for rule in ("notice", "notice_read")
        ),
    )
    (row,) = programme.shown().transitions(now=left + DAY, plan="sunrise", care_manager="staff-1", status="in_care").items
    assert (row.status, row.disposition_class, row.discharged_at) == ("discharged", "home_health", left)
    assert (row.items_open, row.items_met, row.items_missed, row.items_withdrawn) == (2, 1, 0, 0)
    assert (row.next_due_at, row.next_due_rule) == (left + 7 * DAY, "transition.visit")
    assert programme.queries.transitions(now=left + DAY, overdue=True).items == ()
    assert len(programme.queries.transitions(now=left + 8 * DAY, overdue=True).items) == 1

    pen.write(process, TransitionalCareEnded(reason="supported"), at=left + 40 * DAY)
    (row,) = programme.shown().transitions(now=NOON, status="ended").items
    assert row.ended_because == "supported" and programme.queries.transitions(now=NOON, status="in_care").items == ()


def test_messages_and_what_became_of_them(programme: Programme) -> None:
    ada = programme.member()
    uuid = programme.episode(ada)
    outreach, pen = f"outreach-{uuid}", programme.world.pen
    pen.write(outreach, OutreachOpened(member=ada, episode=f"episode-{uuid}", plan="sunrise", policy="sunrise@1"))
    for turn, kind in ((1, "text"), (2, "alert")):
        asked = MessageRequested(
            key=f"rung/{turn}#1", want=f"rung/{turn}", turn=1, kind=kind, recipient=ada, template="hello", expires_at=NOON + DAY
        )
        pen.write(outreach, asked, at=NOON + timedelta(minutes=turn))
    pen.write(outreach, DeliveryBegun(key="rung/2#1"), MessageSent(key="rung/2#1", reference="x"), at=NOON + timedelta(hours=1))
    queries = programme.shown()
    assert [(m.key, m.state, m.member) for m in queries.messages(member=ada).items] == [
        ("rung/2#1", "sent", ada),
        ("rung/1#1", "requested", ada),
    ]
    assert [m.key for m in queries.messages(unacknowledged=True).items] == ["rung/2#1"]


# --- machinery -----------------------------------------------------------------------------------------------------------------


def test_processes_show_phase_error_and_age(programme: Programme) -> None:
    programme.planned("outreach-a", "member-a", "sunrise", phase="ladder", turn=2, turns_max=5)
    programme.planned("transition-b", "member-b", "valley", stuck="refused", wake_at=NOON - timedelta(minutes=5))
    programme.planned("outreach-c", "member-c", "valley", done=True)
    programme.states.failed(ProcessRef("outreach", "a"), "log_away", NOON + timedelta(minutes=1))
    queries, now = programme.queries, NOON + timedelta(hours=1)
    assert [p.process for p in queries.processes(now=now).items] == ["outreach-a", "transition-b"]
    assert [p.process for p in queries.processes(now=now, stuck=True).items] == ["transition-b"]
    assert [p.process for p in queries.processes(now=now, overdue=True).items] == ["transition-b"]
    assert [p.process for p in queries.processes(now=now, done=True).items] == ["outreach-c"]
    one = queries.process("outreach-a", now=now)
    assert one is not None and (one.phase, one.turn, one.turns_max, one.last_error, one.age_seconds) == (
        "ladder",
        2,
        5,
        "log_away",
        3600.0,
    )
    assert queries.process("transition-b", now=now).overdue_seconds == 3900.0  # type: ignore[union-attr]


def test_caseload_counts_members_and_what_is_owed(programme: Programme) -> None:
    for n in range(3):
        member = programme.member()
        uuid = programme.episode(member, lead="staff-1" if n else None)
        programme.planned(f"outreach-{uuid}", member, "sunrise", owed("k", NOON + (n - 1) * DAY))
    loads = {c.staff: c for c in programme.shown().caseload(now=NOON)}
    assert (loads["staff-1"].assigned, loads["staff-1"].owed, loads["staff-1"].overdue) == (2, 2, 1)
    assert loads[""].assigned == 1


def test_the_inbox_counts_all_seven_states(programme: Programme) -> None:
    assert {c.status: c.messages for c in programme.queries.inbox_counts(now=NOON)} == dict.fromkeys(
        ("received", "applied", "duplicate", "unmatched", "waiting", "ignored", "dead"), 0
    )
    assert programme.queries.inbox(now=NOON, status="unmatched").items == ()


def test_without_tables_the_answer_says_what_to_do(world_of: Callable[[Sequence[Any]], World]) -> None:
    world = world_of(catalog.FACTS)
    with pytest.raises(NotReady, match="throughline up"):
        Queries(world.pool, world.log).worklist(now=NOON)


def test_fact_counts(programme: Programme) -> None:
    programme.member()
    programme.member()
    counts = {c.key: c.facts for c in programme.shown().fact_counts()}
    assert counts == {catalog.entry_of(MemberRegistered).name: 2}


def test_every_fact_that_needs_words_has_a_sentence_of_its_own() -> None:
    """Of the rest the class says it all: `Role granted: care manager`."""
    source = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in (sentences, sentences_of_the_year))
    without = {e.type for e in catalog.FACTS if f"case {e.type.__name__}(" not in source}
    assert {kind.__module__ for kind in without} <= {"domain.staff.facts", "domain.member.facts"}
    assert {k for k in without if k.__module__ == "domain.member.facts"} == {Claimed, Released}
    assert sentences.sentence(RoleGranted(role=Role.CARE_MANAGER)) == "Role granted: care manager"

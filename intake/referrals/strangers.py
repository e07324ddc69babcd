"""People whom no plan gave us and who come to hospitals again and again: whom to refer (domain.md 2.8, scenario 57).

Their messages wait in the inbox because nobody was found for them. Those of one person are found by the keyed digests of their
numbers and names, unsealed in memory, and screened like a member's stays; whoever would belong to a population of focus, if the
visits could have been avoided, is shown to a person, who refers them or says why not. Nothing of it is kept but that word. A
message counts for as long as it waits: when its source's `unmatched_days` are over, it is not looked at any more.

In which county they live no message says. Where a plan has begun with a population of focus in some counties only, they are shown
as if they lived in one of those, with the counties beside it: whoever refers them asks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from domain.core import SYSTEM, Alarm, StreamId
from domain.criteria import BEGINNING, Candidate, Evidence, Screened, screened
from domain.episode.referrals import ReferralSource
from domain.episode.state import Episode
from domain.follow_up_policy import EVERY_COUNTY, ConditionKind
from domain.member.circumstances import Circumstances, CountyLearned
from domain.member.decider import Attribution, Member
from domain.policy import DEFAULT_PLAN
from domain.stay.course import Course, Said, course_of
from domain.timeline import Entry
from eventlog.clock import Clock
from eventlog.opening import PolicyShelf
from intake.files.profiles import expect_plan
from intake.people.identity import IdentityKeys
from intake.reading.forms import Read, read_stored
from intake.reading.identifiers import name_key
from intake.reading.notification import MemberKeys, Notification
from intake.reading.statements import occurred_at_of, rank_of, statements_of
from intake.referrals.desk import BY_STAFF, ReferralDesk, Taken
from intake.senders.sources import Sources
from intake.store.claims import these_messages
from intake.store.inbox import Inbox, Row

LOOKED_BACK: Final = timedelta(days=400)
"""More than any policy's window; a word on somebody is forgotten after that, as are their messages."""
GROUPS_MAX: Final = 1_000
MESSAGES_MAX: Final = 5_000
ID_LENGTH: Final = 16
REASON_LENGTH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody whom nobody knows. `id` is made of keyed digests and says nothing. `person` only where names were asked for.
    `populations`: of focus that they would belong to under the rules of `plan`; `counties`: in one of which they would have to live
    for it, none where they may live anywhere; `visits`: what they came for; `dismissed`: why somebody did not refer them, where
    they came again since."""

    id: str
    plan: str
    populations: tuple[str, ...]
    policy: str
    visits: tuple[Candidate, ...]
    facilities: tuple[str, ...]
    messages: int
    last_at: datetime
    with_cin: bool
    dismissed: str = ""
    person: str = ""
    counties: tuple[str, ...] = ()


class UnknownStranger(LookupError):
    """Nobody of that id is a candidate now."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a plan's policy says of avoidable use: the fewest visits with which anybody belongs, and the counties that it names."""

    plan: str
    stays_min: int
    counties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Heard:
    """A message that says something of a visit."""

    row: Row
    person: MemberKeys
    facility: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """The messages of one person."""

    id: str
    heard: tuple[_Heard, ...]

    @property
    def person(self) -> MemberKeys:
        """As the last message says that says most."""
        return max((h.person for h in self.heard), key=lambda p: (bool(p.cins), p.birth_date is not None, bool(p.given_name)))

    @property
    def stays(self) -> dict[StreamId, Course]:
        told: dict[StreamId, list[Said]] = {}
        for heard in self.heard:
            assert heard.row.stay is not None
            told.setdefault(heard.row.stay, []).extend(heard.said)
        return {stay: course_of(sorted(said, key=lambda s: s.rank)) for stay, said in told.items()}


class Strangers:
    """Finds them, and takes a person's word. Thread-safe."""

    def __init__(
        self, inbox: Inbox, identity: IdentityKeys, sources: Sources, book: PolicyShelf, desk: ReferralDesk, clock: Clock
    ) -> None:
        self._inbox = inbox
        self._identity = identity
        self._sources = sources
        self._book = book
        self._desk = desk
        self._clock = clock

    def candidates(self, *, plan: str | None = DEFAULT_PLAN, names: bool = False) -> tuple[Stranger, ...]:
        """Whom to look at, who came last first, under the rules of a plan; None: of the first plan under whose rules they would be
        one, because nobody knows whose they are. `names` unseals who they are, for this answer only."""
        words, rules = self._words(), self._rules((plan,) if plan is not None else self._plans())
        found = [s for group in self._groups(rules) if (s := self._stranger(group, rules, words, names=names)) is not None]
        return tuple(sorted(found, key=lambda s: (s.last_at, s.id), reverse=True))

    def expect_plan(self, plan: str) -> None:
        """Raises PlanUnknown where there is no such health plan."""
        expect_plan(self._book(), plan)

    def refer(self, stranger: str, *, plan: str, by: str, reason: str = "") -> Taken:
        """Refers them: with a CIN they become a member, to whom their messages then belong; without one the referral waits for
        somebody who knows it. Raises PlanUnknown, UnknownStranger, CannotStore."""
        self.expect_plan(plan)
        group = self._group(stranger, plan)
        person = group.person
        assert person.birth_date is not None
        form = {
            "plan": plan,
            "source": ReferralSource.UTILISATION.value,
            "reason": reason,
            "person": {
                "cin": person.cins[0] if len(person.cins) == 1 else "", "family_name": person.family_name,
                "given_name": person.given_name, "birth_date": person.birth_date.isoformat(), "sex": person.sex,
                "phone": person.phone,
            },
        }  # fmt: skip
        raw = json.dumps(form, ensure_ascii=False, sort_keys=True).encode()
        return self._desk.take(raw, source_id=BY_STAFF, control_id=f"stranger:{stranger}", by=by)

    def dismiss(self, stranger: str, *, plan: str, by: str, reason: str) -> None:
        """They are not referred, for now: they are shown again once they come again. Raises PlanUnknown, UnknownStranger."""
        self.expect_plan(plan)
        group, now = self._group(stranger, plan), self._clock.now()
        with self._inbox.pool.connection() as conn, conn.transaction():
            conn.execute("DELETE FROM intake.strangers WHERE said_at < %s", (now - LOOKED_BACK,))
            conn.execute(
                "INSERT INTO intake.strangers VALUES (%s, %s, %s, %s, %s) ON CONFLICT (stranger) DO UPDATE SET"
                " said_at = EXCLUDED.said_at, by = EXCLUDED.by, reason = EXCLUDED.reason, stays = EXCLUDED.stays",
                (stranger, now, by, reason[:REASON_LENGTH_MAX], list(group.stays)),
            )

    # -- whose messages they are

    def _groups(self, rules: Sequence[_Rules]) -> Iterator[_Group]:
        """The messages that wait for nobody known, person by person: of one CIN, or of one name and birth date without any."""
        if not rules:
            return
        stays_min = min(rule.stays_min for rule in rules)
        heard = self._waiting(stays_min)
        cins = {self._named(h.person): set[str]() for h in heard}
        for h in heard:
            cins[self._named(h.person)].update(h.person.cins)
        groups: dict[bytes, list[_Heard]] = {}
        for h in heard:
            groups.setdefault(self._key(h.person, cins[self._named(h.person)]), []).append(h)
        for key, of_one in groups.items():
            if len({h.row.stay for h in of_one}) >= stays_min:
                yield _Group(key.hex()[:ID_LENGTH], tuple(sorted(of_one, key=lambda h: h.row.received_at)))

    def _key(self, person: MemberKeys, known: set[str]) -> bytes:
        """By what messages are one person's: a name and birth date stands for the one CIN that goes with it, never for two."""
        if len(person.cins) == 1:
            return self._identity.cin(person.cins[0])
        if not person.cins and len(known) == 1:
            return self._identity.cin(next(iter(known)))
        return self._identity.digest("stranger", *person.cins, *self._named(person))

    def _named(self, person: MemberKeys) -> tuple[str, str, str]:
        """Twins have one last name and one birth date."""
        return name_key(person.family_name), name_key(person.given_name), str(person.birth_date)

    def _waiting(self, stays_min: int) -> list[_Heard]:
        """What waits of people who came so often, those who came most often first."""
        since = self._clock.now() - LOOKED_BACK
        with self._inbox.pool.connection() as conn:
            found = conn.execute(
                "SELECT array_agg(DISTINCT i.inbox_id) FROM intake.inbox i CROSS JOIN unnest(i.lookup) AS key"
                " WHERE i.status = 'unmatched' AND i.stay IS NOT NULL AND i.received_at > %s GROUP BY key"
                " HAVING count(DISTINCT i.stay) >= %s ORDER BY count(DISTINCT i.stay) DESC, max(i.received_at) DESC LIMIT %s",
                (since, stays_min, GROUPS_MAX),
            ).fetchall()
            ids = list(dict.fromkeys(id for (group,) in found for id in group))[:MESSAGES_MAX]
            messages = these_messages(self._inbox, conn, ids)
        return [heard for row in messages.rows if (heard := self._heard(row, messages.raw(row))) is not None]

    def _heard(self, row: Row, raw: bytes | None) -> _Heard | None:
        source = self._sources.named(row.source_id)
        if source is None or raw is None or row.stay is None:
            return None
        read = read_stored(raw, row, source)
        if not isinstance(read, Read) or not isinstance(read.said, Notification):
            return None
        notification = read.said
        if notification.member.birth_date is None or not notification.member.family_name:
            return None
        order = rank_of(notification, row)
        at = occurred_at_of(notification, row.received_at)
        statements = statements_of(notification, source, row.received_at, order)
        said = (Said(s, f"{row.inbox_id}/{n}", at, row.received_at, f"source:{source.name}") for n, s in enumerate(statements))
        return _Heard(row, notification.member, notification.facility, tuple(said))

    # -- whether they came so often

    def _plans(self) -> tuple[str, ...]:
        """The programme's own rules first, then those of every plan that has some."""
        return tuple(dict.fromkeys((DEFAULT_PLAN, *sorted(policy.plan for policy in self._book().policies))))

    def _rules(self, plans: Sequence[str]) -> tuple[_Rules, ...]:
        return tuple(rules for plan in plans if (rules := self._rules_of(plan)) is not None)

    def _rules_of(self, plan: str) -> _Rules | None:
        """None where there is no such plan: nobody knows a threshold."""
        book = self._book()
        if book.unknown(plan):
            return None
        policy = book.in_force_now(plan, Alarm(self._clock.now()))
        conditions = [
            (condition, population)
            for population in policy.population
            for line in population.when
            for condition in line
            if condition.kind is ConditionKind.AVOIDABLE_VISITS
        ]
        if not conditions:
            return None
        counties = {launch.county for _, population in conditions for launch in population.launch} - {EVERY_COUNTY}
        return _Rules(plan, min(condition.at_least for condition, _ in conditions), tuple(sorted(counties)))

    def _stranger(
        self, group: _Group, rules: Sequence[_Rules], words: Mapping[str, tuple[str, frozenset[str]]], *, names: bool
    ) -> Stranger | None:
        reason, seen = words.get(group.id, ("", frozenset[str]()))
        if set(group.stays) <= seen:
            return None
        screenings = ((rule.plan, *self._screened(group, rule)) for rule in rules)
        plan, found, counties = next((each for each in screenings if each[1]), ("", (), ()))
        if not found:
            return None
        person = group.person
        visits = {visit.visit: visit for screening in found for visit in screening.candidates}
        facilities = Counter(h.facility for h in group.heard if h.facility)
        return Stranger(
            id=group.id,
            plan=plan,
            populations=tuple(screening.code for screening in found),
            policy=found[0].policy,
            visits=tuple(sorted(visits.values(), key=lambda v: (v.on, v.visit))),
            facilities=tuple(name for name, _ in facilities.most_common()),
            messages=len(group.heard),
            last_at=group.heard[-1].row.received_at,
            with_cin=len(person.cins) == 1,
            dismissed=reason,
            person=" ".join(p for p in (person.given_name, person.family_name, str(person.birth_date)) if p) if names else "",
            counties=counties,
        )

    def _screened(self, group: _Group, rules: _Rules) -> tuple[tuple[Screened, ...], tuple[str, ...]]:
        """What the rules find of their stays, and in which counties they would have to live for it."""
        if found := self._as_member(group, rules.plan):
            return found, ()
        there = {county: found for county in rules.counties if (found := self._as_member(group, rules.plan, county))}
        return tuple({screening.key: screening for found in there.values() for screening in found}.values()), tuple(there)

    def _as_member(self, group: _Group, plan: str, county: str = "") -> tuple[Screened, ...]:
        """What the rules find of their stays, as if they were a member's who lives in a county."""
        now, stays = self._clock.now(), group.stays
        born, supposed = group.person.birth_date, CountyLearned(county=county, learned_from="supposed")
        member = Member(
            registered=True,
            birth_date=born.isoformat() if isinstance(born, date) else None,
            stays={stay: Attribution(stay, None, "unmatched", stay, now) for stay in stays},
            life=Circumstances(counties=(Entry(BEGINNING, "", supposed, now, SYSTEM),) if county else ()),
        )
        return screened(Evidence(member, Episode(), stays), self._book(), plan, Alarm(now)).found

    def _group(self, stranger: str, plan: str) -> _Group:
        rules = self._rules((plan,))
        groups = (group for group in self._groups(rules) if group.id == stranger)
        found = next((group for group in groups if any(self._screened(group, rule)[0] for rule in rules)), None)
        if found is None:
            raise UnknownStranger(stranger)
        return found

    def _words(self) -> dict[str, tuple[str, frozenset[str]]]:
        """What somebody said of a stranger, and the stays that they had seen."""
        with self._inbox.pool.connection() as conn:
            rows: Iterable[tuple[str, str, list[str]]] = conn.execute(
                "SELECT stranger, reason, stays FROM intake.strangers"
            ).fetchall()
        return {stranger: (reason, frozenset(stays)) for stranger, reason, stays in rows}

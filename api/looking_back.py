"""The member as they were on a day, as staff knew it on a day; and what is owed to them, with every reason.

Two questions, one way of answering: read the streams as they were known at an instant, fold them, ask the folded states and the
same `plan` that runs the programme. There is no second code path that could explain what was not done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from api.known import Fact, Known
from api.year import YearThen, year_then
from domain.calendar import end_of_day, zone
from domain.catalog import DECIDERS, PROCESSES
from domain.clocks import Variant
from domain.core import (
    Command,
    Instant,
    Obligation,
    Plan,
    ProcessRef,
    StreamId,
    fold,
)
from domain.episode.state import Episode
from domain.member.decider import Member
from domain.member.facts import (
    Channel,
    ConsentGiven,
    ConsentWithdrawn,
    ContactPointLearned,
    IdentityCorrected,
    LanguageChosen,
    MemberRelocated,
)
from domain.member.person import streams_of, together
from domain.policy import PolicyBook
from domain.staff.decider import OFFICE_ZONE
from domain.stay.decider import Stay
from domain.timeline import Entry
from eventlog.log import Log
from projections.sentences import sentence

WAKE_UPS_MAX = 8
"""How far ahead is looked for what a process does next: wake-ups at which it only looks are passed over."""

CHANGES = (LanguageChosen, MemberRelocated, ContactPointLearned)
"""Facts about the member that hold from the moment at which they happened. All others are kept as timelines and asked with an
instant, or put right what was wrong from the beginning."""


class Nobody(LookupError):
    """There is no such member, or there was none yet at that instant."""


@dataclass(frozen=True, slots=True)
class PointThen:
    """A way to reach the member. `value` only where personal data was asked for."""

    point: str
    kind: str
    usable: bool
    value: str | None = None


@dataclass(frozen=True, slots=True)
class EpisodeThen:
    """An episode. `status`: assigned, enrolled, held, or closed with its reason. `year`: tier with its grounds, cadence, steps,
    authorisation, assessment and care plan, populations of focus."""

    episode: StreamId
    plan: str
    status: str
    received_at: datetime
    lead_care_manager: StreamId | None
    enrolled_at: datetime | None = None
    closed_at: datetime | None = None
    closed_because: str = ""
    policy: str = ""
    year: YearThen | None = None


@dataclass(frozen=True, slots=True)
class StayThen:
    """A hospital stay, as all statements that were known by then told it. `…_on`: the local day, where no more is known."""

    stay: StreamId
    facility: str
    stay_class: str
    status: str
    admitted_at: datetime | None
    discharged_at: datetime | None
    disposition: str = ""
    admitted_on: date | None = None
    discharged_on: date | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed, by when, by whom, under which rule of which policy version, resting on which facts. `variants`: what the due
    would be otherwise, such as by the plan's own interval where the member agreed to another one."""

    key: str
    rule: str
    state: str
    opens_at: datetime
    due_at: datetime
    closes_at: datetime
    act_by: datetime
    owed_by: str
    policy: str
    because: tuple[Fact, ...]
    reason: str = ""
    governing: bool = True
    suspended: bool = False
    met_at: datetime | None = None
    how: str = ""
    subject: StreamId = ""
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the plan wants written down, and as of when."""

    key: str
    what: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Explanation:
    """One process: what it owes, what happens next, and when it looks again.

    `then`: what will be written down next, and when, if nothing is recorded before; empty where something is to be written now,
    which may change what comes next."""

    process: StreamId
    kind: str
    owed: tuple[Owed, ...]
    next_steps: tuple[NextStep, ...]
    sending: tuple[str, ...]
    looks_again_at: datetime | None
    waits_for: str
    done: bool
    then: tuple[NextStep, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberThen:
    """A member on a day (`as_of`), as known on a day (`known_at`). Names and values only where they were asked for."""

    member: StreamId
    as_of: datetime
    known_at: datetime
    language: str
    timezone: str
    covered: bool
    died_at: datetime | None
    erased: bool
    opted_out: tuple[str, ...]
    consents: Mapping[str, bool]
    contact_points: tuple[PointThen, ...]
    episodes: tuple[EpisodeThen, ...]
    stays: tuple[StayThen, ...]
    owed: tuple[Explanation, ...]
    facts_known: int
    family_name: str | None = None
    given_name: str | None = None
    birth_date: str | None = None
    cin: str | None = None
    merged_with: tuple[StreamId, ...] = ()


def merged_with(known: Known, member: StreamId) -> tuple[StreamId, ...]:
    """Who was held to be the same person, as known then."""
    return streams_of(member, lambda of: known.state(of).state)[1:]


def _whole(known: Known, member: StreamId, own: Member) -> Member:
    others = tuple(known.state(other).state for other in merged_with(known, member))
    return together(own, others) if others else own


def member_then(log: Log, member: StreamId, *, as_of: Instant, known_at: Instant, names: bool = False) -> MemberThen:
    """The member at `as_of`, from what was recorded by `known_at`. Raises Nobody."""
    known = Known(log, known_at)
    facts = known.facts(member)
    if not facts:
        raise Nobody("nobody was known under this id by then")
    person: Member = fold(
        DECIDERS["member"], member, (r for r in facts if r.occurred_at <= as_of or not isinstance(r.fact, CHANGES))
    ).state
    if not any(r.occurred_at <= as_of for r in facts if not isinstance(r.fact, IdentityCorrected)):
        raise Nobody("the member was not yet in the programme on that day")
    person = _whole(known, member, person)
    episodes = (*person.episodes, *(e for other in merged_with(known, member) for e in known.state(other).state.episodes))
    known.read((*episodes, *person.stays))
    book = known.book()
    death = person.death()
    return MemberThen(
        member=member,
        as_of=as_of,
        known_at=known_at,
        language=person.language,
        timezone=person.timezone,
        covered=not any(s.since <= as_of and (s.until is None or as_of < s.until) for s in person.uncovered()),
        died_at=death[1] if death and death[1] <= as_of else None,
        erased=person.erased,
        opted_out=tuple(c.value for c in Channel if person.opted_out(c, as_of)),
        consents=_consents(person.allowed, as_of),
        contact_points=tuple(
            PointThen(p.id, p.kind.value, not p.bad(as_of), p.value if names else None) for p in person.points.values()
        ),
        episodes=tuple(e for s in episodes if (e := _episode(known, s, book, as_of)) is not None),
        stays=tuple(told for s in person.stays if (told := _stay(known, s, as_of)) is not None),
        owed=tuple(_explained(known, ref, book, as_of) for ref in _processes(known, episodes)),
        facts_known=len(facts) + sum(len(known.facts(other)) for other in merged_with(known, member)),
        merged_with=merged_with(known, member),
        family_name=person.family_name if names else None,
        given_name=person.given_name if names else None,
        birth_date=person.birth_date if names else None,
        cin=person.cin if names else None,
    )


def explain(log: Log, streams: Sequence[StreamId], *, now: Instant, known_at: Instant | None = None) -> tuple[Explanation, ...]:
    """What is owed under some processes, episodes or members, and why. Raises Nobody where a stream is empty."""
    known = Known(log, known_at or now)
    book = known.book()
    refs: dict[ProcessRef, None] = {}
    for stream in streams:
        if not known.facts(stream):
            raise Nobody("there is no such stream")
        state = known.state(stream).state
        if isinstance(state, Member):
            of_others = (e for other in merged_with(known, stream) for e in known.state(other).state.episodes)
            refs |= dict.fromkeys(_processes(known, (*state.episodes, *of_others)))
        elif isinstance(state, Episode):
            refs |= dict.fromkeys(_processes(known, (stream,)))
        elif stream.partition("-")[0] in PROCESSES:
            refs[ProcessRef.of(stream)] = None
    return tuple(_explained(known, ref, book, now) for ref in refs)


def _processes(known: Known, episodes: Iterable[StreamId]) -> tuple[ProcessRef, ...]:
    refs = [ProcessRef(kind, episode.partition("-")[2]) for episode in episodes for kind in PROCESSES]
    known.read(ref.stream for ref in refs)
    return tuple(ref for ref in refs if known.facts(ref.stream))


def _explained(known: Known, ref: ProcessRef, book: PolicyBook, now: Instant) -> Explanation:
    plan = known.planned(ref, book, now)
    return Explanation(
        process=ref.stream,
        kind=ref.kind,
        owed=tuple(sorted((_owed(known, ref, o) for o in plan.obligations), key=lambda o: (o.due_at, o.key))),
        next_steps=_steps(plan),
        sending=tuple(f"{e.kind}: {e.key}" for e in plan.effects),
        looks_again_at=plan.wake_at,
        waits_for=plan.waiting_for,
        done=plan.done,
        then=() if plan.steps else _then(known, ref, book, plan.wake_at),
    )


def _then(known: Known, ref: ProcessRef, book: PolicyBook, wake_at: Instant | None) -> tuple[NextStep, ...]:
    """The steps of the first wake-up that has any: the same plan, asked about a later instant."""
    for _ in range(WAKE_UPS_MAX):
        if wake_at is None:
            break
        plan = known.planned(ref, book, wake_at)
        if plan.steps:
            return _steps(plan)
        wake_at = plan.wake_at
    return ()


def _steps(plan: Plan) -> tuple[NextStep, ...]:
    return tuple(NextStep(s.key, _in_words(s.command), s.as_of) for s in plan.steps)


def _in_words(command: Command) -> str:
    """What a planned step would write down, as its fact says it; else the command's name: `WeighCase` -> `weigh case`."""
    fact = getattr(command, "fact", None)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(command).__name__).lower() if fact is None else sentence(fact)


def _owed(known: Known, ref: ProcessRef, o: Obligation) -> Owed:
    written = known.state(ref.stream).state.clocks.written.get(o.key)
    return Owed(
        key=o.key, rule=o.because.rule, state=o.state.value, opens_at=o.window.opens, due_at=o.window.due,
        closes_at=o.window.closes, act_by=o.act_by, owed_by=o.owed_by, policy=o.because.policy,
        because=tuple(f for event_id in o.because.facts if (f := known.fact(event_id)) is not None),
        reason=o.because.reason, governing=o.governing, suspended=o.suspended, met_at=o.met_at, how=o.how, subject=o.subject,
        variants=written.due.variants if written is not None else (),
    )  # fmt: skip


def _episode(known: Known, stream: StreamId, book: PolicyBook, at: Instant) -> EpisodeThen | None:
    episode: Episode = known.state(stream).state
    if episode.assignment is None or episode.assignment.received_at > at:
        return None
    closure, enrolled = episode.closure(at), episode.enrolled()
    held = any(s.since <= at and (s.until is None or at < s.until) for s in episode.holds())
    enrolled_at = enrolled[1] if enrolled and enrolled[1] <= at else None
    try:
        policy = book.in_force(episode.plan, at).id
    except LookupError:
        policy = ""
    return EpisodeThen(
        episode=stream,
        plan=episode.plan,
        status="closed" if closure else "held" if held else "enrolled" if enrolled_at else "assigned",
        received_at=episode.assignment.received_at,
        lead_care_manager=episode.lead_care_manager(at),
        enrolled_at=enrolled_at,
        closed_at=closure[1] if closure else None,
        closed_because=closure[2].value if closure else "",
        policy=policy,
        year=year_then(known, stream, book, at),
    )


def _stay(known: Known, stream: StreamId, at: Instant) -> StayThen | None:
    stay: Stay = known.state(stream).state
    course = stay.course()
    admitted_at = course.admission.at if course.admission else None
    discharge = course.discharge if course.discharge and course.discharge.at <= at else None
    begun = min((i for i in (admitted_at, discharge.at if discharge else None) if i is not None), default=None)
    if begun is not None and begun > at:
        return None
    return StayThen(
        stay=stream,
        facility=course.facility,
        stay_class=course.stay_class.value,
        status="cancelled" if course.cancelled else "discharged" if discharge else "admitted" if admitted_at else "unclear",
        admitted_at=admitted_at,
        discharged_at=discharge.at if discharge else None,
        disposition=discharge.disposition if discharge else "",
        admitted_on=course.admission.on if course.admission else None,
        discharged_on=discharge.day if discharge else None,
    )


def _consents(allowed: Sequence[Entry], at: Instant) -> dict[str, bool]:
    said: dict[str, bool] = {}
    for entry in allowed:
        if entry.at <= at and isinstance(entry.fact, ConsentGiven | ConsentWithdrawn):
            said[entry.fact.scope] = isinstance(entry.fact, ConsentGiven)
    return said


YEAR_MIN, YEAR_MAX = 1900, 2199


def instant_of(text: str) -> datetime:
    """An instant as people write it. A day alone means its end; without a zone it is the office's time. Raises ValueError, also
    where it is off by centuries: calendars end."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if not YEAR_MIN <= found.year <= YEAR_MAX:
        raise ValueError("out of range")
    if len(text) == 10:
        return end_of_day(found.date(), OFFICE_ZONE) - timedelta(microseconds=1)
    return (found if found.tzinfo else found.replace(tzinfo=zone(OFFICE_ZONE))).astimezone(UTC)

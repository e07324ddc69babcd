"""A year of a programme through the pure core, in memory: members come in files, fall ill, answer or not; staff do what is owed.

What happens outside is drawn from a file of distributions; everything else is what `decide` and `plan` say under the policies
given. Staff take up what is due first, as far as their minutes reach.
"""

from __future__ import annotations

import gc
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from domain.calendar import instant_at, local_date, start_of_day
from domain.caseload.state import caseload_of
from domain.core import SYSTEM, Command, Instant, Plan, ProcessRef, Refusal, StreamId
from domain.episode.closing import CloseEpisode
from domain.episode.decider import ReceiveAssignment
from domain.episode.facts import ClosureReason
from domain.episode.leads import AssignLeadCareManager
from domain.member.circumstances import Circumstance, LearnCounty, NoteCircumstance, RecordDiagnosis
from domain.member.decider import AttributeStay, LearnContactPoint, RegisterMember, ReportDeath
from domain.member.facts import PointKind
from domain.policy import PolicyBook
from domain.staff.decider import AgreeFullTimeShare, AnnounceAbsence, JoinStaff, ShowLicence
from domain.staff.facts import Role
from domain.stay.decider import RecordStatement
from domain.stay.facts import MemberAdmitted, MemberDischarged, StayClass, order_of
from simulation.carers import Carers
from simulation.core import Core, always_sent
from simulation.distributions.reading import Distributions, Population
from simulation.tasks import SUPERVISED, WITH_MEMBER, Task, tasks_of
from simulation.throws import Throws
from simulation.workload import Worker, hire, monday

ZONE = "America/Los_Angeles"
OPENS_HOUR = 8
COUNTY = "San Joaquin"
FILES_HOUR = 6
LICENCE_YEARS = 5

Action = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Member:
    """One of the cast: who they are to the programme, and how they are."""

    number: int
    population: Population
    language: str
    arrives_on: date
    findable: bool

    @property
    def stream(self) -> StreamId:
        return f"member-{self.number}"

    @property
    def episode(self) -> StreamId:
        return f"episode-{self.number}"


@dataclass
class ProgrammeYear:
    """One run. `refused`: what the rules did not allow, which should be nothing."""

    found: Distributions
    book: PolicyBook
    throws: Throws
    members: int
    days: int
    care_managers: int | None = None
    core: Core = field(init=False)
    staff: tuple[Worker, ...] = field(init=False)
    cast: tuple[Member, ...] = field(init=False)
    refused: list[str] = field(default_factory=list)
    _agenda: list[tuple[Instant, int, Action]] = field(default_factory=list)
    _number: int = 0
    _todo: dict[ProcessRef, tuple[Task, ...]] = field(default_factory=dict)
    _queues: dict[StreamId, list[Task]] = field(default_factory=lambda: defaultdict(list))
    _tried: dict[tuple[ProcessRef, str], date] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.staff = hire(self.found, self.members, self.care_managers, self.days, self.throws)
        self.core = Core(self.book, self.begins_at, carrier=always_sent, seen=self._noticed)
        self.cast = tuple(self._members())
        self._ahead = timedelta(days=self.found.week.look_ahead_days.is_)
        self._carers = Carers(self)

    @property
    def begins_at(self) -> Instant:
        return start_of_day(self.found.begins_on, ZONE)

    @property
    def ends_at(self) -> Instant:
        return start_of_day(self.found.begins_on + timedelta(days=self.days), ZONE)

    def run(self, progress: Callable[[int, int], None] = lambda done, of: None) -> ProgrammeYear:
        """Live through it. `progress` is told the days that are done, and of how many."""
        self._people_join()
        for member in self.cast:
            self.at(at_hour(member.arrives_on, FILES_HOUR), partial(self._assigned, member))
        for n in range(self.days):
            day = self.found.begins_on + timedelta(days=n)
            self.at(at_hour(day, OPENS_HOUR), partial(self._morning, day))
        with nothing_in_circles():
            while self._agenda and self._agenda[0][0] < self.ends_at:
                at, _, action = heapq.heappop(self._agenda)
                self.core.run_until(at)
                action()
                self.core.settle()
                progress((at - self.begins_at).days, self.days)
            self.core.run_until(self.ends_at)
        return self

    def at(self, instant: Instant, action: Action) -> None:
        """Have something done at an instant; in the past means now."""
        self._number += 1
        heapq.heappush(self._agenda, (max(instant, self.core.now), self._number, action))

    def tell(self, kind: type[Command], stream: StreamId, by: str, /, **said: Any) -> bool:
        """Whether the rules allowed it."""
        command = kind(stream=stream, by=by, **said)
        decision = self.core.handle(command)
        if isinstance(decision, Refusal):
            self.refused.append(f"{kind.__name__}: {decision.code}: {decision.because}")
        return not isinstance(decision, Refusal)

    # --- who is there ---

    def _members(self) -> Iterator[Member]:
        number = 0
        for population in self.found.population:
            before = sum(p.share.is_ for p in self.found.population[: self.found.population.index(population)])
            for _ in range(round((before + population.share.is_) * self.members) - number):
                about = ("member", number)
                arrives = int(self.throws.of(*about, "arrives") * population.arrive_within_days.is_)
                yield Member(
                    number=number,
                    population=population,
                    language=self.throws.one_of(population.languages.of, *about, "language"),
                    arrives_on=self.found.begins_on + timedelta(days=1 + arrives),
                    findable=self.throws.of(*about, "findable") < population.findable.is_,
                )
                number += 1

    def _people_join(self) -> None:
        boss = next(worker for worker in self.staff if worker.role is Role.SUPERVISOR)
        for worker in self.staff:
            said = {"roles": (worker.role,), "languages": worker.languages, "supervisor": boss.stream}
            self.tell(JoinStaff, worker.stream, SYSTEM, **said)
            if worker.licence is not None:
                expires_on = self.found.begins_on + timedelta(days=365 * LICENCE_YEARS)
                self.tell(ShowLicence, worker.stream, SYSTEM, licence=worker.licence, expires_on=expires_on)
            self.tell(AgreeFullTimeShare, worker.stream, SYSTEM, percent=worker.percent, from_day=self.found.begins_on)
            for first in sorted({monday(day) for day in worker.leave}):
                self.tell(AnnounceAbsence, worker.stream, SYSTEM, first_day=first, last_day=first + timedelta(days=4))

    @property
    def boss(self) -> Worker:
        """The supervisor with the most minutes left."""
        return max((w for w in self.staff if w.role is Role.SUPERVISOR), key=lambda worker: worker.left_today)

    def member_of(self, ref: ProcessRef) -> Member:
        return self.cast[int(ref.id)]

    def lead_of(self, member: Member) -> StreamId | None:
        episode = self.core.load(member.episode).state
        lead: StreamId | None = episode.lead_care_manager(self.core.now)
        return lead

    def is_open(self, member: Member) -> bool:
        return self.core.load(member.episode).state.closure(self.core.now) is None

    def todo(self, ref: ProcessRef) -> tuple[Task, ...]:
        return self._todo.get(ref, ())

    @property
    def today(self) -> date:
        return local_date(self.core.now, ZONE)

    # --- what plans and hospitals send ---

    def _assigned(self, member: Member) -> None:
        """A plan's file names the member; the supervisor finds them a lead care manager."""
        source, population = "source:plan", member.population
        claim = f"claim-{member.number}"
        self.tell(RegisterMember, member.stream, source, cin_claim=claim, language=member.language, timezone=ZONE)
        for kind in (PointKind.PHONE, PointKind.ADDRESS):
            said = {"point": f"{kind}-{member.number}", "kind": kind, "learned_from": "plan_file", "value": "as in the file"}
            self.tell(LearnContactPoint, member.stream, source, **said)
        self.tell(LearnCounty, member.stream, source, county=COUNTY, learned_from="plan_file")
        for code, share in population.diagnoses.of.items():
            if self.throws.of("member", member.number, code) < share:
                self.tell(RecordDiagnosis, member.stream, source, code=code, learned_from="plan_file")
        for name, share in population.circumstances.of.items():
            if self.throws.of("member", member.number, name) < share:
                self.tell(NoteCircumstance, member.stream, source, circumstance=Circumstance(name), learned_from="plan_file")
        told_after = self.found.health_plan.told_after_days.at(self.throws.of("member", member.number, "told"))
        assigned: dict[str, Any] = {
            "member": member.stream,
            "plan": population.plan,
            "received_at": self.core.now,
            "authorized_on": member.arrives_on - timedelta(days=round(told_after)),
            "effective_on": member.arrives_on.replace(day=1),
        }
        if self.tell(ReceiveAssignment, member.episode, source, **assigned):
            lead = self._lead_for(member)
            said = {"staff": lead.stream, "over_cap_because": "nobody has more room"}
            self.tell(AssignLeadCareManager, member.episode, self.boss.stream, **said)
            self._life(member)

    def _lead_for(self, member: Member) -> Worker:
        """Who speaks the language, and of those who has the most room for their share of full time."""
        team = self.found.team_of(member.population.name).name
        there = [w for w in self.staff if w.team == team]
        return min(there, key=lambda w: (member.language not in w.languages, self.cases(w) / w.posts, w.name))

    def cases(self, worker: Worker) -> int:
        """How many members they lead."""
        return len(self.core.load(caseload_of(worker.stream)).state.cases)

    def _life(self, member: Member) -> None:
        """What happens to a member from outside, for the rest of the run."""
        population, rest = member.population, (self.ends_at - self.core.now) / timedelta(days=1)
        about = ("member", member.number)
        for number, day in enumerate(self.throws.times(population.stays.is_, rest, *about, "stay")):
            self._stay(member, f"stay-{member.number}i{number}", day, StayClass.INPATIENT)
        for number, day in enumerate(self.throws.times(population.emergencies.is_, rest, *about, "emergency")):
            self._stay(member, f"stay-{member.number}e{number}", day, StayClass.EMERGENCY)
        for day in self.throws.times(population.deaths.is_, rest, *about, "death")[:1]:
            self.at(self.core.now + timedelta(days=day), partial(self._dies, member))
        for day in self.throws.times(population.withdrawals.is_, rest, *about, "withdraws")[:1]:
            self.at(self.core.now + timedelta(days=day), partial(self._withdraws, member))

    def _stay(self, member: Member, stay: StreamId, day: float, stay_class: StayClass) -> None:
        """A hospital admits and discharges, and says so some hours after each."""
        hospital, came_at = self.found.hospital, self.core.now + timedelta(days=day)
        if stay_class is StayClass.INPATIENT:
            lasts = timedelta(days=hospital.stay_days.at(self.throws.of(stay, "days")))
        else:
            lasts = timedelta(hours=hospital.emergency_hours.at(self.throws.of(stay, "hours")))
        word_in = timedelta(hours=hospital.word_after_hours.at(self.throws.of(stay, "in")))
        word_out = timedelta(hours=hospital.word_after_hours.at(self.throws.of(stay, "out")))
        left_at = came_at + lasts
        self.at(came_at + word_in, partial(self._admitted, member, stay, came_at, stay_class))
        self.at(max(came_at + word_in, left_at + word_out), partial(self._discharged, member, stay, left_at))

    def _admitted(self, member: Member, stay: StreamId, came_at: Instant, stay_class: StayClass) -> None:
        if not self.is_open(member):
            return
        now, facility = self.core.now, "county hospital"
        order = order_of(now, now, "in", stay)
        statement = MemberAdmitted(
            order=order, received_at=now, source="hospital", facility=facility, stay_class=stay_class, admitted_at=came_at,
            trigger="A01" if stay_class is StayClass.INPATIENT else "A04",
        )  # fmt: skip
        self.tell(RecordStatement, stay, "source:hospital", statement=statement, occurred_at=came_at, said_at=now)
        said = {"stay": stay, "episode": member.episode, "evidence": "cin"}
        self.tell(AttributeStay, member.stream, "source:hospital", **said)

    def _discharged(self, member: Member, stay: StreamId, left_at: Instant) -> None:
        if stay not in self.core.streams:
            return
        now = self.core.now
        statement = MemberDischarged(
            order=order_of(now, now, "out", stay), received_at=now, source="hospital", facility="county hospital",
            discharged_at=left_at, disposition="01", trigger="A03",
        )  # fmt: skip
        self.tell(RecordStatement, stay, "source:hospital", statement=statement, occurred_at=left_at, said_at=now)

    def _dies(self, member: Member) -> None:
        if self.is_open(member):
            self.tell(ReportDeath, member.stream, "source:plan", source="plan_file")

    def _withdraws(self, member: Member) -> None:
        if self.is_open(member) and self.core.load(member.episode).state.enrolled() is not None:
            by = self.lead_of(member) or self.boss.stream
            self.tell(CloseEpisode, member.episode, by, reason=ClosureReason.MEMBER_WITHDREW)

    # --- what staff do ---

    def _noticed(self, ref: ProcessRef, plan: Plan) -> None:
        """What a plan owes now is what there is to do."""
        self._todo[ref] = tasks_of(ref, plan.obligations, self.book, self._ahead)

    def _morning(self, day: date) -> None:
        """Everybody's day: their own members first, in the order of the dues; then what absent colleagues leave."""
        for worker in self.staff:
            worker.begin(day)
        week, ends_at = monday(day), start_of_day(day + timedelta(days=1), ZONE)
        listed = sorted(
            (task for tasks in self._todo.values() for task in tasks if task.from_at < ends_at and self.core.now < task.until),
            key=lambda task: (task.due, task.ref.stream, task.key),
        )
        if day.isoweekday() == 7:
            self._week_over(listed, week)
            return
        self._queues.clear()
        planned: dict[StreamId, float] = defaultdict(float)
        for task in listed:
            if self._tried.get((task.ref, task.key)) == day:
                continue
            taker = self._who(task, planned)
            if taker is not None:
                planned[taker.stream] += self._carers.expected_minutes(task, taker)
                self._queues[taker.stream].append(task)
        for worker in self.staff:
            if self._queues[worker.stream]:
                self._queues[worker.stream].reverse()
                self.at(at_hour(day, OPENS_HOUR + 1), partial(self._next_task, worker, day))

    def _who(self, task: Task, planned: dict[StreamId, float]) -> Worker | None:
        """The lead care manager; a colleague who speaks the language while they are away; whoever has the licence or the say."""
        member = self.member_of(task.ref)
        if task.work in SUPERVISED:
            fitting = [w for w in self.staff if w.role is Role.SUPERVISOR]
        elif task.licence is not None:
            fitting = [w for w in self.staff if w.licence is task.licence]
        else:
            lead = self.lead_of(member)
            fitting = [w for w in self.staff if w.stream == lead and w.left_today > 0]
            if not fitting:
                team = self.found.team_of(member.population.name).name
                fitting = [w for w in self.staff if w.team == team]
        there = [w for w in fitting if w.left_today > 0]
        return min(there, key=lambda w: (not self.speaks(w, task), planned[w.stream] / w.left_today, w.name), default=None)

    def speaks(self, worker: Worker, task: Task) -> bool:
        """Whether nobody has to interpret."""
        return task.work not in WITH_MEMBER or self.member_of(task.ref).language in worker.languages

    def _next_task(self, worker: Worker, day: date) -> None:
        """Do the next thing that is still owed, as long as there are minutes left; the rest waits."""
        queue = self._queues[worker.stream]
        while queue and worker.left_today > 0:
            task = queue.pop()
            if not self._still(task):
                continue
            self._tried[(task.ref, task.key)] = day
            minutes = self._carers.carry_out(task, worker)
            worker.spend(minutes, day)
            if queue:
                pause = minutes / self.found.week.for_members.is_
                self.at(self.core.now + timedelta(minutes=pause), partial(self._next_task, worker, day))
            return

    def _still(self, task: Task) -> bool:
        return any(task.key == other.key for other in self._todo[task.ref])

    def _week_over(self, listed: list[Task], week: date) -> None:
        """What was due and is not done, by whom it was to be done; and how many members each leads."""
        for worker in self.staff:
            worker.carried[week] = self.cases(worker)
        by_stream = {worker.stream: worker for worker in self.staff}
        nurses = [w for w in self.staff if w.licence is not None]
        for task in listed:
            if task.due <= self.core.now:
                lead = by_stream.get(self.lead_of(self.member_of(task.ref)) or "")
                owing = nurses[0] if task.licence is not None else self.boss if task.work in SUPERVISED else lead
                if owing is not None:
                    owing.waiting[week] += self._carers.expected_minutes(task, owing)


@contextmanager
def nothing_in_circles() -> Iterator[None]:
    """No search for objects that refer to each other in a circle: a run makes none, keeps nearly all that it makes, and each search
    would go through all of it."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def at_hour(day: date, hour: int) -> Instant:
    return instant_at(day, datetime(2000, 1, 1, hour, tzinfo=UTC).time(), ZONE)

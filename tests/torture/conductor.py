"""One run, from nothing to its report: stage, crew, outside world, chaos, settling, checks.

It keeps its time, and ends whatever it started.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import psycopg
from psycopg_pool import PoolTimeout

from domain.core import Instant
from eventlog import killpoints
from eventlog.recorder import LogAway
from projections.runner import ProjectorAway
from simulation.desk import PACIFIC, local
from tests.torture import checks
from tests.torture.alarm import Alarm
from tests.torture.chaos import JUMP, POINTS, Chaos, slowness
from tests.torture.crew import begin_forking
from tests.torture.options import ChaosEvent, Checked, Finding, Options, Run
from tests.torture.outgoing import lines, note
from tests.torture.outside import ACKNOWLEDGED, FILES, Outside
from tests.torture.role import POSITIONS, SENT, TOLD
from tests.torture.script import BY_HAND, Happening
from tests.torture.stage import Stage, stage
from workers.services import projector_of

SETTLE_SHARE, SETTLE_SECONDS_MIN = 0.2, 18.0
CHECK_SHARE, CHECK_SECONDS_MIN = 0.10, 10.0
"""Of the whole time so much at least is kept for coming to rest, and for looking at what is left."""

BY_HAND_LATE_MAX = timedelta(hours=3)
"""What a hand-written member's script says is told at most so much later."""

STEP_HOURS_MIN, STEP_HOURS_MAX = 2.0, 30.0
REST_SECONDS_MAX = 8.0
"""So long a step of the clock waits until what happened in it is told and done. What takes longer comes late, as it may."""

PATIENT_SECONDS_MAX, LATE_MAX = 30.0, 20
REST_LOOK_SECONDS = 0.15
STEPS = "steps"
"""In the run's home: how each step of the clock went."""

LAST_FAULT_SECONDS = 5.0
"""A fault that begins later would not be over in time."""

LAST_LOOKS_SECONDS = 1.5
"""Whoever was told to look once more, and finds nothing, has so long for it."""

NOON = 12.0
JUMP_SHARE, JUMP_FAR, JUMP_AT_LEAST = 0.25, timedelta(hours=44), timedelta(hours=12)
"""So many of the steps jump so far, where a person's script allows it; and what counts as a jump of the clock."""


Say = Callable[[str], None]


@dataclass
class Report:
    """What a run did and found."""

    options: Options
    world_days: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    kill_points: dict[str, int] = field(default_factory=dict)
    checks: list[Checked] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    events: list[ChaosEvent] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.findings

    def found(self, check: str, what: str, subject: str = "") -> None:
        self.findings.append(Finding(check, subject, what))


def torture(options: Options, say: Say) -> Report:
    """Do it. Raises GroundError where no server can be had."""
    began = time.monotonic()
    over_at = began + options.minutes * 60
    report = Report(options)
    begin_forking()
    with stage(options.seed, options.members, options.days, defect=options.defect, keep=options.keep) as ground:
        say(f"stage {ground.home.name} is up after {time.monotonic() - began:.0f} s")
        say(f"{len(ground.script.happenings)} things will happen in {options.days} days from {ground.script.start:%d %b %Y} on, to "
            f"{options.members} members and those written by hand")  # fmt: skip
        run = _Run(options, ground, report, say)
        try:
            check_seconds = max(CHECK_SECONDS_MIN, CHECK_SHARE * options.minutes * 60)
            settle_seconds = max(SETTLE_SECONDS_MIN, SETTLE_SHARE * options.minutes * 60)
            run.live(until=over_at - check_seconds - settle_seconds)
            run.settle(until=over_at - check_seconds)
            run.stop()
            run.look(until=over_at)
        finally:
            run.stop()
    report.seconds["all"] = time.monotonic() - began
    return report


class _Run:
    def __init__(self, options: Options, ground: Stage, report: Report, say: Say) -> None:
        self._options, self._ground, self._report, self._say = options, ground, report, say
        self._chaos = Chaos(ground, options.seed, options.only)
        self._crew = self._chaos.crew
        self._outside = Outside(ground)
        self._alarm = Alarm(ground)
        self._stopped = False
        self._unsettled = "not waited for"
        self._stopped_at: Instant = ground.script.start
        self._watch = _Watch(ground)
        self._dice = Random(options.seed + 2)
        self._instants = [h.arrives_at for h in ground.script.happenings]
        self._by_hand = sorted(h.arrives_at for h in ground.script.happenings if h.what == BY_HAND)

    # --- living ---

    def live(self, until: float) -> None:
        """The clock goes ahead step by step, with whatever goes wrong meanwhile."""
        began = time.monotonic()
        script = self._ground.script
        self._crew.start()
        self._outside.start()
        self._alarm.start()
        self._chaos.start()
        step_seconds = 0.8
        said_at = 0.0
        while time.monotonic() < until and (now := self._ground.clock.now()) < script.stop and not self._enough():
            left = until - time.monotonic()
            hours = (script.stop - now).total_seconds() / 3600 / max(1.0, left / step_seconds)
            step = timedelta(hours=min(STEP_HOURS_MAX, max(STEP_HOURS_MIN, hours)))
            started = time.monotonic()
            if left < LAST_FAULT_SECONDS * slowness():
                self._chaos.calm()
            stop_at = self._stop_behind(now, min(now + step, script.stop))
            if JUMP in self._options.only and self._dice.random() < JUMP_SHARE and (jump_to := self._jump_from(now)) is not None:
                stop_at = min(jump_to, script.stop)
            if stop_at - now >= JUMP_AT_LEAST:
                self._chaos.note(JUMP, f"{(stop_at - now) / timedelta(hours=1):.0f} hours at once")
            self._ground.move_clock_to(stop_at)
            pace = left * ((stop_at - now) / (script.stop - now))
            left_over = self._wait_for_rest(started, until)
            note(self._ground.home / STEPS, f"{time.monotonic() - began:.1f} s, {stop_at:%d %b %H:%M}: {left_over or 'at rest'}")
            time.sleep(max(0.0, min(started + pace, until) - time.monotonic()))
            step_seconds = 0.7 * step_seconds + 0.3 * (time.monotonic() - started)
            if time.monotonic() - said_at > 2.0:
                said_at = time.monotonic()
                self._progress(now, until)
        self._chaos.end()
        self._report.seconds["chaos"] = time.monotonic() - began

    def _stop_behind(self, now: Instant, wanted: Instant) -> Instant:
        """Where the clock is to stand next: as wanted, but by day on every day, when messages may be sent, and soon behind what a
        person's script says, so that it is told in time."""
        today = now.astimezone(PACIFIC).date()
        noons = (local(today + timedelta(days=n), NOON) for n in (0, 1))
        stops = [noon for noon in noons if now < noon] + [at + BY_HAND_LATE_MAX for at in self._by_hand if now < at]
        return min(wanted, *stops)

    def _jump_from(self, now: Instant) -> Instant | None:
        """Two days ahead, past everything that was to be done meanwhile; None where a person's script has something in between."""
        jump_to = now + JUMP_FAR
        return None if any(now < at <= jump_to for at in self._by_hand) else jump_to

    def _enough(self) -> bool:
        """Whether a short run has seen everything that it is for."""
        points = POINTS not in self._options.only or all(self._ground.kills.values())
        return self._options.short and self._chaos.dealt and points

    def _wait_for_rest(self, began: float, until: float) -> str:
        """Until what has happened is told and whoever is due has looked, or it takes too long: what then comes late, in words.

        What a person's script says is waited for longer, because its verdicts hold for what is told in time; so is a crowd that is
        late, because it would only grow."""
        while moving := self._moving_now():
            waited = (time.monotonic() - began) / slowness()
            by_hand = any(h.what == BY_HAND for h in self._untold(self._ground.clock.now()))
            patient = by_hand or self._watch.late > LATE_MAX
            if time.monotonic() > until or waited > (PATIENT_SECONDS_MAX if patient else REST_SECONDS_MAX):
                break
            time.sleep(REST_LOOK_SECONDS)
        return moving

    def _moving_now(self) -> str:
        """What is not at rest yet, in words; an outage too."""
        now = self._ground.clock.now()
        if untold := self._untold(now):
            return f"{len(untold)} things are not told yet, the first is {untold[0].id} ({untold[0].what})"
        try:
            return self._watch.unrest(now)
        except (psycopg.Error, PoolTimeout, LogAway) as error:
            return type(error).__name__

    def _untold(self, now: Instant) -> list[Happening]:
        told = self._outside.told | self._written()
        due = self._ground.script.happenings[: bisect_right(self._instants, now)]
        return [h for h in due if h.id not in told]

    def _written(self) -> set[str]:
        """The ids of what writers settled."""
        return {words[0] for words in self._journals() if words[1] != "command"}

    def _journals(self) -> list[list[str]]:
        return [words for file in sorted((self._ground.home / TOLD).glob("*.log")) for words in lines(file)]

    def _progress(self, now: Instant, until: float) -> None:
        self._say(
            f"{(now - self._ground.script.start).days:3d} of {self._options.days} days; {len(self._chaos.events)} faults, "
            f"{sum(self._ground.kills.values())} deaths at kill points, {sum(self._crew.deaths.values())} in all; "
            f"{len(lines(self._ground.home / ACKNOWLEDGED))} messages acknowledged; {max(0, until - time.monotonic()):.0f} s to go"
        )

    # --- coming to rest ---

    def settle(self, until: float) -> None:
        """No fault any more. Wait until everybody has read everything and nothing is left to do."""
        began = time.monotonic()
        self._say("no more faults: coming to rest")
        self._alarm.ring_all()
        moving, quiet = "nothing was looked at", 0
        while time.monotonic() < until:
            moving = self._moving_now() or self._watch.lag()
            quiet = 0 if moving else quiet + 1
            if quiet >= 3:
                break
            time.sleep(0.25)
        self._alarm.stop()
        time.sleep(max(0.0, min(LAST_LOOKS_SECONDS * slowness(), until - time.monotonic())))
        self._unsettled = moving
        if moving:
            self._report.found("settled", f"not at rest after {time.monotonic() - began:.0f} s: {moving}")
        self._report.seconds["settling"] = time.monotonic() - began

    def stop(self) -> None:
        """End everything that was started here."""
        if self._stopped:
            return
        self._stopped = True
        self._chaos.end()
        self._stopped_at = self._ground.clock.now()
        self._alarm.stop()
        self._outside.stop()
        self._crew.end_all()
        self._watch.close()

    # --- looking ---

    def look(self, until: float) -> None:
        """Count everything, and have it checked."""
        began = time.monotonic()
        report, chaos = self._report, self._chaos
        report.world_days = (self._stopped_at - self._ground.script.start) / timedelta(days=1)
        report.events = list(chaos.events)
        report.faults = {kind: chaos.count(kind) for kind in chaos.kinds}
        report.kill_points = dict(self._ground.kills)
        report.counts = self._counts()
        for kind, times in report.faults.items():
            if not times:
                report.found("faults", f"{kind} was never done")
        if POINTS in self._options.only:
            for point in killpoints.POINTS:
                if not report.kill_points[point]:
                    report.found("kill points", f"{point} was never hit")
        for error in chaos.errors:
            report.found("faults", error)
        for name in self._crew.unexpected:
            report.found("roles", name)
        self._say(f"looking at what is left ({max(0, until - time.monotonic()):.0f} s at most)")
        report.checks = checks.run(self._finished(until))
        for checked in report.checks:
            report.findings += checked.findings
            if not checked.looked_at and not checked.findings:
                report.found(checked.check, "looked at nothing, so it checked nothing")
        report.seconds["checks"] = time.monotonic() - began

    def _finished(self, deadline: float) -> Run:
        home, incarnation = self._ground.home, self._ground.incarnation
        assert incarnation is not None
        return Run(
            seed=self._options.seed, script=self._ground.script, home=home, settings=self._ground.settings,
            incarnation=incarnation, stopped_at=self._stopped_at, sent=home / SENT, acknowledged=home / ACKNOWLEDGED,
            files=home / FILES, told=home / TOLD, positions=home / POSITIONS, events=tuple(self._chaos.events),
            kills=self._ground.kills, refusals_by_guard=self._chaos.guard_refusals, settled=not self._unsettled,
            unsettled=self._unsettled, deadline=deadline,
        )  # fmt: skip

    def _counts(self) -> dict[str, int]:
        journals = self._journals()
        settled = Counter(words[1] for words in journals if words[1] != "command")
        with self._ground.connect(pool_max=2) as system:
            with system.pool.connection() as conn:
                (facts,) = conn.execute("SELECT count(*) FROM log.events").fetchone() or (0,)
                inbox = dict(conn.execute("SELECT status, count(*) FROM intake.inbox GROUP BY 1").fetchall())
                effects = dict(conn.execute(_EFFECTS).fetchall())
        return {
            "members": self._options.members,
            "facts": facts,
            "facts seen by the reader": len(lines(self._ground.home / POSITIONS)),
            "messages acknowledged": len(lines(self._ground.home / ACKNOWLEDGED)),
            "messages sent": sum(self._outside.sent.values()),
            "files": sum(h.id in self._outside.told for h in self._ground.script.happenings if h.what == "file"),
            "told by staff": settled["ok"],
            "refused to staff": sum(settled.values()) - settled["ok"],
            "handed over to channels": len(lines(self._ground.home / SENT)),
            **{f"effects: {name}": int(count) for name, count in sorted(effects.items())},
            "deaths of roles": sum(self._crew.deaths.values()),
            **{f"inbox {status}": int(count) for status, count in sorted(inbox.items())},
        }


_LATE = """
SELECT s.process, CASE WHEN s.wake_at <= %(now)s THEN 'overdue' WHEN s.stuck <> '' THEN 'stuck: ' || s.stuck
                       WHEN s.failing_since IS NOT NULL THEN 'failing: ' || s.last_error ELSE 'delivering' END
FROM process_state s
WHERE NOT s.done AND (s.wake_at <= %(now)s OR cardinality(s.effects) > 0 OR s.stuck <> '' OR s.failing_since IS NOT NULL)
UNION ALL
SELECT p.process, 'behind' FROM router_process p LEFT JOIN process_state s USING (process)
WHERE (p.open OR s.process IS NOT NULL) AND p.position > coalesce(s.position, 0)"""

_EFFECTS = "SELECT split_part(name, '.', 2), count(*) FROM log.events WHERE name LIKE 'request.%' GROUP BY 1"

_INBOX = "SELECT count(*) FROM intake.inbox WHERE status NOT IN ('applied', 'duplicate', 'unmatched', 'ignored', 'dead', 'waiting')"


class _Watch:
    """Asks the system, from outside its roles, what is not at rest."""

    def __init__(self, ground: Stage) -> None:
        self._system = ground.connect(pool_max=2)
        self.late = 0

    def close(self) -> None:
        self._system.close()

    def unrest(self, now: Instant) -> str:
        """What is not done yet, in words."""
        system = self._system
        head = system.log.watermark()
        if (routed := system.router_store().position()) < head:
            return f"the router is {head - routed} positions behind"
        with system.pool.connection(timeout=2.0) as conn:
            late = conn.execute(_LATE, {"now": now}).fetchall()
            inbox = conn.execute(_INBOX).fetchone()
        self.late = len(late)
        if late:
            kinds: Mapping[str, int] = Counter(row[1] for row in late)
            return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + f"; the first is {late[0][0]}"
        return f"{inbox[0]} messages of the inbox are not worked off" if inbox and inbox[0] else ""

    def lag(self) -> str:
        """Which read models are behind, in words."""
        try:
            behind = [model.name for model in projector_of(self._system).status() if model.lag]
        except (psycopg.Error, PoolTimeout, LogAway, ProjectorAway) as error:
            return type(error).__name__
        return f"read models are behind: {', '.join(behind)}" if behind else ""

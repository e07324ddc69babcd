"""The numbers that tell whether the system is well, read from its own tables (design.md 4: healthy = none of them)."""

from __future__ import annotations

from projections.runner import Projector
from workers.composition import System
from workers.telemetry.metrics import Readings

_PROCESSES = """
SELECT count(*) FILTER (WHERE NOT done), count(*) FILTER (WHERE NOT done AND wake_at < %(now)s),
       count(*) FILTER (WHERE NOT done AND stuck <> '')
FROM process_state"""


def readings(system: System, projector: Projector) -> Readings:
    """How far each reader is behind, what is open, overdue, stuck, parked, unmatched."""
    head, now = system.log.watermark(), system.clock.now()
    with system.pool.connection(timeout=5.0) as conn:
        processes = conn.execute(_PROCESSES, {"now": now}).fetchone()
        routed = conn.execute("SELECT min(position) FROM router_tracking").fetchone()
        parked = conn.execute("SELECT count(*) FROM router_parked").fetchone()
        unmatched = conn.execute("SELECT count(*) FROM intake.inbox WHERE status = 'unmatched'").fetchone()
    assert processes is not None and parked is not None and unmatched is not None
    models = projector.status()
    lag = {f"model.{model.name}": model.lag for model in models}
    lag["router"] = head - int(routed[0]) if routed and routed[0] is not None else head
    return Readings(
        lag=lag,
        processes_open=int(processes[0]),
        processes_overdue=int(processes[1]),
        processes_stuck=int(processes[2]),
        parked=int(parked[0]) + sum(model.parked for model in models),
        unmatched=int(unmatched[0]),
    )

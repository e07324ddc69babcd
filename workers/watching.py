"""The numbers that tell whether the system is well, read from its own tables (design.md 4: healthy = none of them)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from intake.store.inbox import id_at
from projections.runner import Projector
from workers.composition import System
from workers.telemetry.metrics import Readings

A_MINUTE: Final = timedelta(minutes=1)

_PROCESSES = """
SELECT count(*) FILTER (WHERE NOT done), count(*) FILTER (WHERE NOT done AND wake_at < %(now)s),
       count(*) FILTER (WHERE NOT done AND stuck <> '')
FROM process_state"""

_INBOX = """
SELECT count(*) FILTER (WHERE status = 'unmatched'), count(*) FILTER (WHERE status = 'dead'),
       extract(epoch FROM %(now)s - min(received_at) FILTER (WHERE status = 'unmatched'))::float8,
       extract(epoch FROM %(now)s - min(received_at) FILTER (WHERE status = 'dead'))::float8
FROM intake.inbox WHERE status IN ('unmatched', 'dead')"""

_CAME = """
SELECT f.source_id, coalesce(c.messages, 0) FROM intake.feeds f LEFT JOIN (
    SELECT source_id, count(*) AS messages FROM intake.inbox
    WHERE inbox_id >= %(since)s AND part_of IS NULL AND transport <> 'file' GROUP BY source_id
) AS c USING (source_id)"""

_NOTICES = """
SELECT count(*) FILTER (WHERE kind = 'silent_feed'), count(*) FROM intake.notices WHERE ended_at IS NULL"""

_RECONCILED = """
SELECT last.overdue + last.behind, last.nudged, extract(epoch FROM clock_timestamp() - last.at)::float8, deep.missing, deep.orphaned
FROM (SELECT * FROM reconcile_run ORDER BY at DESC LIMIT 1) AS last
LEFT JOIN (SELECT missing, orphaned FROM reconcile_run WHERE deep ORDER BY at DESC LIMIT 1) AS deep ON true"""


def readings(system: System, projector: Projector) -> Readings:
    """How far each reader is behind, what is open, overdue, stuck, parked, unmatched, and what reconcile's last passes found."""
    head, now = system.log.watermark(), system.clock.now()
    with system.pool.connection(timeout=5.0) as conn:
        processes = conn.execute(_PROCESSES, {"now": now}).fetchone()
        routed = conn.execute("SELECT min(position) FROM router_tracking").fetchone()
        parked = conn.execute("SELECT count(*) FROM router_parked").fetchone()
        inbox = conn.execute(_INBOX, {"now": now}).fetchone()
        came = conn.execute(_CAME, {"since": id_at(now - A_MINUTE)}).fetchall()
        noticed = conn.execute(_NOTICES).fetchone()
        passed = conn.execute(_RECONCILED).fetchone()
    stale, rescued, age_seconds, missing, orphaned = passed or (None,) * 5
    assert processes is not None and parked is not None and inbox is not None and noticed is not None
    models = projector.status()
    lag = {f"model.{model.name}": model.lag for model in models}
    lag["router"] = head - int(routed[0]) if routed and routed[0] is not None else head
    return Readings(
        lag=lag,
        processes_open=int(processes[0]),
        processes_overdue=int(processes[1]),
        processes_stuck=int(processes[2]),
        parked=int(parked[0]) + sum(model.parked for model in models),
        unmatched=int(inbox[0]),
        dead=int(inbox[1]),
        unmatched_age=inbox[2],
        dead_age=inbox[3],
        messages=dict(came),
        feeds_silent=int(noticed[0]),
        notices=int(noticed[1]),
        reconcile_missing=missing,
        reconcile_orphaned=orphaned,
        reconcile_stale=stale,
        reconcile_rescued=rescued,
        reconcile_age=age_seconds,
    )

"""What the running system says about itself: JSON log lines, traces, metrics. Never who a member is.

Everything that leaves passes an allow-list (`telemetry.allowed`): names of keys and shapes of values. What is not on it is dropped,
so a careless line costs a detail and not somebody's privacy. Layers below use `structlog` and the OpenTelemetry API directly; only
this package knows where their words go.
"""

from __future__ import annotations

from workers.telemetry.logs import configure_logging
from workers.telemetry.setup import Telemetry, TelemetryTargets, start_telemetry
from workers.telemetry.traces import continued

__all__ = ["Telemetry", "TelemetryTargets", "configure_logging", "continued", "start_telemetry"]

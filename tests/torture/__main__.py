"""`make torture`: breaks everything that can break, then looks whether anything was lost."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict
from types import FrameType
from typing import NoReturn, TextIO

from tests.torture.chaos import KINDS, POINTS
from tests.torture.conductor import Report, torture
from tests.torture.options import Options
from workers.ground.child import GroundError

MINUTES, MEMBERS, DAYS = 10.0, 300, 45
OVERDUE_SECONDS = 45.0
"""A run that lasts so much longer than it may shows where it hangs."""

EXAMPLES = """examples:
  make torture                                        ten minutes, 300 members, every fault; a new seed each time
  make torture FLAGS="--seed 7 --minutes 3 --members 60 --days 24 --short"
  make torture FLAGS="--seed 7 --faults kill-worker,kill-points,cut"
  python -m tests.torture --seed 7 --json > report.json

exit status: 0 nothing was found, 1 something was, 2 wrong flags or no server to be had.
A third of the time, and at least 28 s, is kept for coming to rest and for looking at what is left.
The seed is the last line that is printed."""


def main() -> int:
    options, as_json = _asked()
    printed = _kept_for_the_report()
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:5.0f} s] {line}\n")
        sys.stderr.flush()

    signal.signal(signal.SIGTERM, _told_to_stop)
    faulthandler.dump_traceback_later(options.minutes * 60 + OVERDUE_SECONDS)
    say(f"seed {options.seed}")
    try:
        report = torture(options, say)
    except GroundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped; everything that was started is ended.\nseed {options.seed}\n")
        return 1
    printed.write(json.dumps(_plain(report), indent=1, default=str) + "\n" if as_json else _table(report))
    printed.flush()
    return 0 if report.ok else 1


def _kept_for_the_report() -> TextIO:
    """The standard output, for the report alone: whatever libraries say of lost servers goes where the progress goes."""
    printed = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return printed


def _told_to_stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # what was started is being ended: a second word must not cut that short
    raise KeyboardInterrupt


def _asked() -> tuple[Options, bool]:
    reader = argparse.ArgumentParser(
        prog="python -m tests.torture", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("--seed", type=int, help="where every choice comes from; without it a new one, which is printed")
    reader.add_argument("--minutes", type=float, default=MINUTES, help=f"of the whole run, checks included (default {MINUTES:g})")
    reader.add_argument("--members", type=int, default=MEMBERS, help=f"how many members (default {MEMBERS})")
    reader.add_argument("--days", type=int, default=DAYS, help=f"days of the programme (default {DAYS})")
    reader.add_argument("--faults", default="", help=f"only these, separated by commas: {', '.join((*KINDS, POINTS))}")
    reader.add_argument("--defect", default="", help="plant a defect of tests/torture/defects.py in every role")
    reader.add_argument("--short", action="store_true", help="come to rest once each fault was done and each kill point was hit")
    reader.add_argument("--json", action="store_true", help="the report as JSON")
    reader.add_argument("--keep", action="store_true", help="keep the home folder with all logs")
    asked = reader.parse_args()
    only = frozenset(asked.faults.split(",")) if asked.faults else frozenset((*KINDS, POINTS))
    if unknown := only - {*KINDS, POINTS, "none"}:
        reader.error(f"--faults: {', '.join(sorted(unknown))} is none of {', '.join((*KINDS, POINTS))}")
    if not 0.4 <= asked.minutes <= 24 * 60:
        reader.error("--minutes: between 0.4 and 1440")
    if not 1 <= asked.members <= 5_000:
        reader.error("--members: between 1 and 5000")
    if not 5 <= asked.days <= 200:
        reader.error("--days: between 5 and 200")
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    return Options(seed, asked.minutes, asked.members, asked.days, only, asked.defect, asked.short, asked.keep), asked.json


def _plain(report: Report) -> dict[str, object]:
    said = asdict(report)
    said["options"]["only"] = sorted(report.options.only)
    return {**said, "ok": report.ok, "seed": report.options.seed}


def _table(report: Report) -> str:
    rows = [f"{report.world_days:.1f} days of a programme, in {report.seconds['all']:.0f} s"]
    for title, counts in (("Counted", report.counts), ("Faults", report.faults), ("Deaths at kill points", report.kill_points)):
        rows += ["", title, *(f"  {count:>8}  {name}" for name, count in counts.items())]
    found = {c.check: f": {len(c.findings)} findings" if c.findings else "" for c in report.checks}
    rows += ["", "Checks", *(f"  {c.looked_at:>8}  {c.check}{found[c.check]}" for c in report.checks)]
    rows += ["", "Found" if report.findings else "Nothing was found."]
    rows += [f"  {finding.check}: {finding.subject}{': ' if finding.subject else ''}{finding.what}" for finding in report.findings]
    return "\n".join((*rows, "", f"seed {report.options.seed}", ""))


if __name__ == "__main__":
    sys.exit(main())

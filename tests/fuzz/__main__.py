"""`make fuzz`: all targets in turn, for as long as one likes."""

from __future__ import annotations

import argparse
import time
import traceback
from pathlib import Path

import intake
from tests.fuzz.loop import fuzz, kept, smaller
from tests.fuzz.targets import TARGETS


def main() -> int:
    asked = argparse.ArgumentParser(prog="make fuzz FLAGS=…", description="Fuzz everything that reads bytes of strangers.")
    asked.add_argument("--seed", type=int, default=1, help="the same seed is the same run, as far as it gets")
    asked.add_argument("--minutes", type=float, default=1.0, help="for all targets together")
    asked.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one; may be given several times")
    said = asked.parse_args()
    names = said.target or sorted(TARGETS)
    failed = 0
    for name in names:
        target, seeds = TARGETS[name]
        began = time.monotonic()
        folder = Path(intake.__file__).parent
        found = fuzz(target, seeds, seed=said.seed, seconds=said.minutes * 60 / len(names), folder=folder)
        seconds = time.monotonic() - began
        speed = f"{found.executions / seconds:.0f} a second"
        print(f"{name}: {found.executions} inputs, {speed}; {found.edges} edges, corpus {found.corpus}")
        for raw, failure in found.crashes:
            failed += 1
            file = kept(name, smaller(target, raw, type(failure)))
            print(f"  {type(failure).__name__}: {failure}  kept as {file.name}")
            traceback.print_exception(failure, limit=-3)
    print(f"{failed} crashes" if failed else "nothing crashed")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())

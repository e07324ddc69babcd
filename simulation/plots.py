"""A run's findings as pictures: promises by rule, the load of every week, enrolments. Two runs stand beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simulation.core import Promises
from simulation.drawing import FAINT, Drawing
from simulation.findings import Findings, WorkWeek

COLOURS = {"met": "#2f9e6e", "met_late": "#e9b44c", "missed": "#c8403a", "infeasible": "#7b6d8d"}
NAMES = {"met": "met in time", "met_late": "met late", "missed": "missed", "infeasible": "could not be met"}
LEFT, BAR, ROW, TOP = 300.0, 520.0, 22.0, 64.0
CELL = 15.0
LOADS = (
    (0.0, "#eef2f5"), (0.25, "#cfe3d8"), (0.5, "#9fcfb5"), (0.75, "#5cb488"), (0.9, "#2f9e6e"), (1.0001, "#e9b44c"),
    (1.5, "#e07b39"), (2.5, "#c8403a"),
)  # fmt: skip
"""From so much load on (needed against available), the colour: green up to capacity, from yellow to red above."""


def draw(runs: Sequence[tuple[str, Findings]], folder: Path) -> tuple[Path, ...]:
    """The pictures of one run, or of two side by side; the folder is made. `runs`: each with the name under which it is shown."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"promises.svg": promises(runs), "enrolments.svg": enrolments(runs)}
    for place, (name, found) in enumerate(runs, start=1):
        pictures["workload.svg" if len(runs) == 1 else f"workload-{place}.svg"] = workload(found.weeks, name)
    for file, picture in pictures.items():
        (folder / file).write_text(picture.svg(), encoding="utf-8")
    return tuple(folder / file for file in pictures)


def promises(runs: Sequence[tuple[str, Findings]]) -> Drawing:
    """A bar for each rule: how the promises that came due were kept."""
    by_rule = [{p.rule: p for p in (found.all_promises, *found.promises)} for _, found in runs]
    rules = [r for r in dict.fromkeys(rule for found in by_rule for rule in found) if any(f[r].judged for f in by_rule if r in f)]
    height = ROW * len(runs) + (6 if len(runs) > 1 else 0)
    picture = Drawing(LEFT + BAR + 130, TOP + height * len(rules) + 20)
    picture.text(16, 26, "How promises were kept, by rule", size=17, bold=True)
    x = 16.0
    for state, colour in COLOURS.items():
        picture.box(x, 38, 12, 12, colour)
        picture.text(x + 17, 49, NAMES[state])
        x += 36 + 7.2 * len(NAMES[state])
    for row, rule in enumerate(rules):
        y = TOP + row * height
        picture.text(LEFT - 12, y + ROW * len(runs) / 2 + 4, rule, anchor="end", bold=rule == "all")
        for number, found in enumerate(by_rule):
            _bar(picture, y + number * ROW, found.get(rule, Promises(rule)), runs[number][0] if len(runs) > 1 else "")
    return picture


def _bar(picture: Drawing, y: float, of: Promises, name: str) -> None:
    if not of.judged:
        picture.text(LEFT, y + 14, "none came due", ink=FAINT, size=11)
        return
    x = LEFT
    for state, colour in COLOURS.items():
        count = getattr(of, state)
        width = BAR * count / of.judged
        if count:
            picture.box(x, y + 3, width, ROW - 6, colour, f"{of.rule}: {count} {NAMES[state]}")
        x += width
    picture.text(LEFT + BAR + 8, y + 15, f"{of.met_share:.0%} of {of.judged:,}" + (f"  {name}" if name else ""), size=11)


def workload(weeks: Sequence[WorkWeek], name: str) -> Drawing:
    """A row for each of the staff, a cell for each week: minutes needed against minutes there."""
    people = list(dict.fromkeys(week.worker for week in weeks))
    days = sorted({week.week for week in weeks})
    left = 150.0
    picture = Drawing(max(left + CELL * len(days) + 90, 640), TOP + 24 + (CELL + 3) * len(people) + 20)
    picture.text(16, 26, f"Minutes needed against minutes there, week by week{f': {name}' if name else ''}", size=17, bold=True)
    x = 16.0
    for (load, colour), after in zip(LOADS, (*(least for least, _ in LOADS[1:]), None), strict=True):
        words = f"above {load:.0%}" if after is None else f"{load:.0%}-{after:.0%}"
        picture.box(x, 38, 12, 12, colour)
        picture.text(x + 15, 49, words, size=11)
        x += 26 + 7 * len(words)
    for column, day in enumerate(days):
        if column == 0 or day.month != days[column - 1].month:
            picture.text(left + column * CELL, TOP + 16, f"{day:%b}", size=11, ink=FAINT)
    of = {(week.worker, week.week): week for week in weeks}
    for row, worker in enumerate(people):
        y = TOP + 24 + row * (CELL + 3)
        picture.text(left - 8, y + 12, worker, size=11, anchor="end")
        for column, day in enumerate(days):
            found = of.get((worker, day))
            if found is not None and found.load is not None:
                says = f"{worker}, week of {day}: {found.needed:.0f} of {found.available:.0f} minutes, {found.members} members"
                picture.box(left + column * CELL, y, CELL - 1.5, CELL, _colour(found.load), says)
            else:
                picture.text(left + column * CELL + 4, y + 12, "·", ink=FAINT)
        loads = [of[worker, day].load for day in days if (worker, day) in of]
        over = sum(1 for load in loads if load is not None and load > 1)
        if over:
            picture.text(left + CELL * len(days) + 6, y + 12, f"{over} above", size=11, ink=COLOURS["missed"])
    return picture


def _colour(load: float) -> str:
    return next(colour for least, colour in reversed(LOADS) if load >= least)


def enrolments(runs: Sequence[tuple[str, Findings]]) -> Drawing:
    """For each population how many of those assigned were reached, and enrolled."""
    populations = [e.population for e in runs[0][1].enrolments]
    height = 2 * ROW * len(runs) + 12
    picture = Drawing(LEFT + BAR + 130, TOP + height * len(populations) + 10)
    picture.text(16, 26, "Of the members assigned: reached, and enrolled", size=17, bold=True)
    for x, words, colour in ((16.0, "reached", "#9fb8cf"), (100.0, "enrolled", "#2f6e9e")):
        picture.box(x, 38, 12, 12, colour)
        picture.text(x + 17, 49, words)
    for row, population in enumerate(populations):
        y = TOP + row * height
        picture.text(LEFT - 12, y + height / 2, population, anchor="end")
        for number, (name, found) in enumerate(runs):
            e = found.enrolments[row]
            for part, (count, colour) in enumerate(((e.reached, "#9fb8cf"), (e.enrolled, "#2f6e9e"))):
                share, top = (count / e.assigned if e.assigned else 0.0), y + (2 * number + part) * ROW
                picture.box(LEFT, top + 2, BAR * share, ROW - 4, colour)
                words = f"{share:.0%} of {e.assigned}" + (f"  {name}" if len(runs) > 1 else "")
                picture.text(LEFT + BAR * share + 8, top + 15, words, size=11)
    return picture

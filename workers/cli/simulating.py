"""`throughline simulate`: a year of an invented programme through the same rules; and the real log under another policy."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from domain.adoption.facts import PolicyAdopted
from domain.core import Recorded
from domain.policy import Policy, PolicyBook, PolicyRefused, read_policy
from eventlog.opening import open_log
from simulation.core import Promises
from simulation.distributions.reading import DEFAULT, MEMBERS_MAX, Distributions, DistributionsRefused, read_distributions
from simulation.findings import Findings, findings
from simulation.plots import draw
from simulation.programme_year import ProgrammeYear
from simulation.tables import write_tables
from simulation.throws import Throws
from simulation.what_if import Difference, WhatIf, what_if
from simulation.workload import TooFewStaff
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.composition import addresses
from workers.first_policies import POLICIES
from workers.programme import the_programme
from workers.settings import Settings

DAYS_MAX = 700
"""The policies' holiday calendars reach no further from the day on which the default programme begins."""

YEAR_DAYS = 365
BARS = " ▁▂▃▄▅▆▇█"

Members = Annotated[int | None, typer.Option(min=1, max=MEMBERS_MAX, help="How many members; the data says 200.")]
Weeks = Annotated[int | None, typer.Option(min=1, max=DAYS_MAX // 7, help="How many weeks; otherwise a year.")]
Days = Annotated[int | None, typer.Option(min=1, max=DAYS_MAX, help="How many days, instead of weeks.")]
Seed = Annotated[int, typer.Option(help="Which throw of the dice: the same seed is the same year.")]
Staff = Annotated[int | None, typer.Option(min=1, max=2000, help="How many care managers; otherwise as the data says.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", exists=True, dir_okay=False, help="A policy file in place of its plan's own.")
]
Compared = Annotated[
    Path | None, typer.Option("--compare", exists=True, dir_okay=False, help="Another policy file: both years side by side.")
]
Data = Annotated[
    Path | None, typer.Option("--distributions", exists=True, dir_okay=False, help="Another programme, as a file of distributions.")
]
Out = Annotated[Path | None, typer.Option("--out", file_okay=False, help="A folder for tables (CSV).")]
Plot = Annotated[Path | None, typer.Option("--plot", file_okay=False, help="A folder for pictures (SVG, for any browser).")]
History = Annotated[bool, typer.Option("--history", help="The real log instead, under --policy: what would have been due.")]


def mount(app: typer.Typer) -> None:
    app.command("simulate", rich_help_panel="Looking")(simulate)


def simulate(
    members: Members = None,
    weeks: Weeks = None,
    days: Days = None,
    seed: Seed = 1,
    staff: Staff = None,
    policy: PolicyFile = None,
    compare: Compared = None,
    distributions: Data = None,
    history: History = False,
    out: Out = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """A year of an invented programme under the policies; or, with --history, the real log under another policy. Writes no fact.

    Deadlines met and missed by rule, contacts, enrolments, tiers, and everybody's weeks: minutes needed against minutes there.

    Examples:

        throughline simulate

        throughline simulate --members 200 --weeks 26 --seed 7

        throughline simulate --staff 8 --out /tmp/year

        throughline simulate --compare stricter.toml --plot /tmp/pictures

        throughline simulate --history --policy stricter.toml
    """
    if history:
        given = {"--members": members, "--weeks": weeks, "--days": days, "--staff": staff, "--distributions": distributions}
        _history(policy, {**given, "--compare": compare, "--out": out, "--plot": plot}, json=json)
        return
    if weeks is not None and days is not None:
        raise Stop("says the length twice.", field="--days", remedy="give --weeks or --days", status=f.USAGE)
    found = _distributions(distributions)
    length = weeks * 7 if weeks is not None else days if days is not None else YEAR_DAYS
    count = members if members is not None else round(found.members.count.is_)
    book = _book(policy)

    def run(under: PolicyBook, what: str) -> Findings:
        with f.progress(what, quiet=json) as progress:
            try:
                year = ProgrammeYear(found, under, Throws(seed), count, length, staff)
            except TooFewStaff as few:
                raise Stop(f"{few}.", field="--staff", remedy="ask for more of them", status=f.USAGE) from None
            return findings(year.run(progress))

    first = run(book, "Living through it")
    second = run(_book(compare), "Living through it under the other policy") if compare is not None else None
    runs = [("first", first), ("second", second)] if second is not None else [("", first)]
    for name, told in runs:
        if out is not None:
            write_tables(told, out / name)
    pictures = draw(runs, plot) if plot is not None else ()
    if json:
        f.as_json(_as_json(first) if second is None else {"first": _as_json(first), "second": _as_json(second)})
    elif second is None:
        _show(first)
    else:
        _show_both(first, second)
    if not json:
        for said in (f"Tables: {out}" if out is not None else "", *(f"Picture: {picture}" for picture in pictures)):
            if said:
                f.err.print(said, style="dim", markup=False)


def _distributions(file: Path | None) -> Distributions:
    try:
        return read_distributions(_text(file or DEFAULT))
    except DistributionsRefused as refused:
        place = f"{file or DEFAULT.name}: {refused.field}"
        raise Stop(refused.said, field=place, remedy=refused.remedy, code="distributions") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Stop("is not UTF-8.", field=str(file), remedy="save it as UTF-8") from None


def read_policy_file(file: Path) -> Policy:
    """The policy of a file. Raises Stop with its first mistake."""
    try:
        return read_policy(_text(file))
    except PolicyRefused as refused:
        first = refused.faults[0]
        remedy = f"`throughline policy check {file}` names every mistake"
        raise Stop(first.reason, field=f"{file}:{first.line}: {first.field}", remedy=remedy, code="policy_refused") from None


def _book(other: Path | None) -> PolicyBook:
    """The project's own policies, one plan's replaced by a file."""
    policies = [read_policy_file(file) for file in sorted(POLICIES.glob("*.toml"))]
    if other is not None:
        replaced = read_policy_file(other)
        policies = [replaced, *(p for p in policies if p.plan != replaced.plan)]
    book = PolicyBook()
    for one in policies:
        book = book.with_adopted(one)
    return book


# --- shown ---------------------------------------------------------------------------------------------------------------------


def _as_json(found: Findings) -> dict[str, Any]:
    return {
        "policies": found.policies,
        "members": found.members,
        "days": found.days,
        "seed": found.seed,
        "facts": found.facts,
        "promises": found.promises,
        "contacts": dict(found.contacts),
        "enrolments": [{"population": e.population, "plan": e.plan, "assigned": e.assigned, "reached": e.reached,
                        "enrolled": e.enrolled, "declined": e.declined, "closed": e.closed, "success": e.success}
                       for e in found.enrolments],
        "tiers": dict(found.tiers),
        "caseloads": found.caseloads,
        "weeks": found.weeks,
        "refused": found.refused,
    }  # fmt: skip


def _percent(share: float | None) -> Text:
    if share is None:
        return Text("·", style="dim")
    style = "" if share >= 0.9 else "yellow" if share >= 0.7 else "bold red"
    return Text(f"{share:.0%}", style=style)


def _show(found: Findings) -> None:
    weeks = timedelta(days=found.days) // timedelta(days=7)
    f.out.print(
        Text(
            f"{found.members} members, {weeks} weeks, seed {found.seed}; {found.facts:,} facts under {', '.join(found.policies)}\n",
            style="bold",
        )
    )
    columns = ("rule", "met in time", "met late", "missed", "infeasible", "withdrawn", "open", "in time")
    rows = [_row(p) for p in (*found.promises, found.all_promises)]
    f.table("Promises by rule", columns, rows, empty="Nothing was owed.")
    f.out.print()
    f.table("Contacts", ("kind", "how many"), found.contacts, empty="Nobody was spoken with.")
    f.out.print()
    fared = [(e.population, e.plan, e.assigned, e.reached, e.enrolled, f"{e.success:.0%}", e.declined) for e in found.enrolments]
    heads = ("population", "plan", "assigned", "reached", "enrolled", "success", "declined")
    f.table("Enrolments", heads, fared, empty="Nobody was assigned.")
    f.out.print()
    f.table("Tiers", ("tier", "members"), found.tiers, empty="Nobody was enrolled.")
    f.out.print()
    _show_staff(found)


def _row(p: Promises) -> tuple[Any, ...]:
    missed = Text(str(p.missed), style="bold red" if p.missed else "")
    return (p.rule, p.met, p.met_late, missed, p.infeasible, p.withdrawn, p.open, _percent(p.met_share))


def _show_staff(found: Findings) -> None:
    cases = {c.worker: c for c in found.caseloads}
    rows: list[tuple[Any, ...]] = []
    for worker in dict.fromkeys(week.worker for week in found.weeks):
        own = [week for week in found.weeks if week.worker == worker]
        there, needed = sum(w.available for w in own), sum(w.spent for w in own)
        loads = [week.load for week in own]
        over = sum(1 for load in loads if load is not None and load > 1)
        case = cases.get(worker)
        rows.append(
            (
                worker,
                f"{case.percent}%" if case else "",
                f"1:{case.most_per_full_time:.0f}" if case else "",
                f"{there / 60:.0f}",
                f"{needed / 60:.0f}",
                _percent_of_load(needed / there if there else None),
                Text(str(over), style="bold red" if over else ""),
                _sparkline(loads),
            )
        )
    columns = ("worker", "share", "members at most", "hours there", "hours spent", "used", "weeks above", "needed by week")
    f.table("Workload", columns, rows, empty="Nobody works there.", note="Bars: minutes needed against minutes there; red: above.")


def _percent_of_load(load: float | None) -> Text:
    if load is None:
        return Text("·", style="dim")
    return Text(f"{load:.0%}", style="bold red" if load > 1 else "yellow" if load > 0.9 else "")


def _sparkline(loads: list[float | None]) -> Text:
    """A bar for each week, full at capacity; red above it, a dot in a week of leave."""
    line = Text()
    for load in loads:
        if load is None:
            line.append("·", style="dim")
        else:
            line.append(BARS[min(8, round(load * 8))], style="red" if load > 1 else "")
    return line


def _show_both(first: Findings, second: Findings) -> None:
    changed = set(first.policies) ^ set(second.policies)
    f.out.print(Text(f"{first.members} members, {first.days} days, seed {first.seed}", style="bold"))
    f.out.print(f"first: {', '.join(first.policies)}\nsecond: {', '.join(second.policies)}\n")
    if not changed:
        f.out.print("Both follow the same policies by name.\n", style="yellow")
    rules = dict.fromkeys(p.rule for p in (*first.promises, *second.promises))
    of = [{p.rule: p for p in (*x.promises, x.all_promises)} for x in (first, second)]
    rows: list[tuple[Any, ...]] = []
    for rule in (*sorted(rules), "all"):
        a, b = (one.get(rule, Promises(rule)) for one in of)
        rows.append((
            rule, *_pair(a.judged, b.judged), *_pair(a.missed, b.missed), _percent(a.met_share), _percent(b.met_share),
            Text("" if a == b else "≠", style="bold yellow"),
        ))  # fmt: skip
    columns = ("rule", "came due", "second", "missed", "second", "in time", "second", "")
    f.table("Promises by rule", columns, rows, empty="Nothing was owed.")
    f.out.print()
    kinds = dict.fromkeys(kind for kind, _ in (*first.contacts, *second.contacts))
    counted = [dict(x.contacts) for x in (first, second)]
    rows = [(kind, *_pair(counted[0].get(kind, 0), counted[1].get(kind, 0))) for kind in sorted(kinds)]
    f.table("Contacts", ("kind", "first", "second"), rows, empty="Nobody was spoken with.")
    f.out.print()
    pairs = zip(first.enrolments, second.enrolments, strict=True)
    rows = [(a.population, a.assigned, *_pair(a.enrolled, b.enrolled)) for a, b in pairs]
    f.table("Enrolments", ("population", "assigned", "first", "second"), rows, empty="Nobody was assigned.")
    f.out.print()
    tiers = [dict(x.tiers) for x in (first, second)]
    rows = [(tier, *_pair(tiers[0].get(tier, 0), tiers[1].get(tier, 0))) for tier in sorted({*tiers[0], *tiers[1]})]
    f.table("Tiers", ("tier", "first", "second"), rows, empty="Nobody was enrolled.")
    f.out.print()
    spent = [{w: sum(k.spent for k in x.weeks if k.worker == w) / 60 for w in {k.worker for k in x.weeks}} for x in (first, second)]
    rows = [(w, *_pair(round(spent[0][w]), round(spent[1].get(w, 0)))) for w in dict.fromkeys(k.worker for k in first.weeks)]
    f.table("Hours spent", ("worker", "first", "second"), rows, empty="Nobody works there.", note="≠ and yellow: the years differ.")


# --- the real log --------------------------------------------------------------------------------------------------------------


def _history(policy: Path | None, given: dict[str, object], *, json: bool) -> None:
    """What the log would have led to. The databases are told that nothing may be written."""
    for option, value in given.items():
        if value is not None:
            raise Stop("is of the invented programme, not of the real log.", field=option, remedy="leave it out", status=f.USAGE)
    other = read_policy_file(policy) if policy is not None else None
    with f.ground(f.asked.load()) as settings:
        log = read_log(settings)
    if not log:
        raise Stop("The log is empty.", remedy="`throughline demo` has a year of history: `throughline --demo simulate --history`")
    plans = {r.fact.plan for r in log if isinstance(r.fact, PolicyAdopted)}
    if other is not None and other.plan not in plans:
        known = ", ".join(sorted(plans))
        raise Stop(f"is a policy of {other.plan}, which the log does not know.", field="--policy", remedy=f"plans there: {known}")
    with f.progress("Living through the log", quiet=json) as progress:
        found = what_if(log, other, progress)
    if json:
        f.as_json(found)
    else:
        _show_what_if(found)


def read_log(settings: Settings) -> tuple[Recorded, ...]:
    """Every fact of the log, through connections on which the database itself refuses to write."""
    url, keys_url = (reading_only(address) for address in addresses(settings))
    with open_log(url, keys_url, master_key=settings.keys().master, facts=the_programme().facts, pool_max=2) as opened:
        return tuple(stored.recorded for stored in opened.log.all())


def reading_only(url: str) -> str:
    """The address of a database, for sessions that may not write."""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20default_transaction_read_only%3Don"


def _show_what_if(found: WhatIf) -> None:
    f.out.print(Text(f"{found.facts:,} facts until {f.local(found.until)}", style="bold"))
    if found.faithful:
        what = f"Under its own policies the log replays with {len(found.faithful)} differences; they are counted on both sides."
        f.out.print(Text(what, style="yellow"))
    else:
        f.out.print("Under its own policies the log replays without a difference.")
    if not found.policy:
        _show_differences("Where the replay differs", found.faithful)
        return
    f.out.print(f"Under {found.policy}: {len(found.differences)} differences.\n")
    rules = dict.fromkeys(p.rule for p in (*found.before, *found.after))
    of = [{p.rule: p for p in x} for x in (found.before, found.after)]
    rows = []
    for rule in sorted(rules):
        a, b = (one.get(rule, Promises(rule)) for one in of)
        differ = Text("" if a == b else "≠", style="bold yellow")
        shares = _percent(a.met_share), _percent(b.met_share)
        rows.append((rule, *_pair(a.judged, b.judged), *_pair(a.missed, b.missed), *shares, differ))
    columns = ("rule", "came due", "what if", "missed", "what if", "in time", "what if", "")
    f.table("Promises by rule, as it was and as it would have been", columns, rows, empty="Nothing was owed.")
    f.out.print()
    _show_differences("What differs", found.differences)


def _show_differences(title: str, found: tuple[Difference, ...]) -> None:
    words = {"only_before": "as it was only", "only_after": "what if only", "due_moved": "due moved", "verdict": "other verdict"}
    counts = Counter((d.about, words[d.what]) for d in found)
    rows = [(about, what, count) for (about, what), count in sorted(counts.items())]
    f.table(title, ("of", "how", "how many"), rows, empty="Nothing differs.")


def _pair(a: int, b: int) -> tuple[Text, Text]:
    return Text(str(a)), Text(str(b), style="" if a == b else "yellow")

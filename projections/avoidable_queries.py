"""The questions about repeated visits (domain.md 2.8): which of them somebody has to judge, whom they propose for a referral."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import msgspec
from psycopg.rows import TupleRow

from domain.core import StreamId
from domain.followup.facts import Ground
from domain.member.visit_words import VisitExplained
from projections import avoidable
from projections.answers import Page
from projections.asking import LIMIT_DEFAULT, Ask, away, known
from projections.reader import Reader

LOOK = "followup.avoidable_visits"
"""The rule of the worklist under which somebody is asked to look."""

JUDGED = ("open", "avoidable", "not_avoidable")

VISITS = f"""SELECT v.visit, v.member, '', v.kind, v.on_day, v.facility, v.told_by, v.judged, v.reason, v.judged_by, '',
    v.judged_at, v.asked, v.reason_position, v.diagnoses_position
FROM (SELECT u.visit, u.member, u.kind, u.on_day, u.facility, u.told_by, u.reason, u.judged_by, u.judged_at,
        u.reason_position, u.diagnoses_position,
        CASE WHEN u.avoidable IS NULL THEN 'open' WHEN u.avoidable THEN 'avoidable' ELSE 'not_avoidable' END AS judged,
        EXISTS (SELECT FROM process_obligation o WHERE o.member = u.member AND o.rule = '{LOOK}' AND o.state = 'open') AS asked,
        u.on_day || '|' || u.visit AS sorted
    FROM (SELECT s.key AS visit, s.member, s.stay_class AS kind,
            coalesce(s.admitted_on, (s.admitted_at AT TIME ZONE 'America/Los_Angeles')::date) AS on_day, s.facility,
            'hospital' AS told_by, j.avoidable, coalesce(j.reason, '') AS reason, coalesce(j.by, '') AS judged_by, j.judged_at,
            coalesce(j.reason_position, 0) AS reason_position, coalesce(j.diagnoses_position, 0) AS diagnoses_position
        FROM read.stays s LEFT JOIN read.judged_visits j ON j.member = s.member AND j.visit = s.key
        WHERE s.member IS NOT NULL AND s.status IN ('admitted', 'discharged') AND s.stay_class IN ('emergency', 'inpatient')
            AND (s.admitted_on IS NOT NULL OR s.admitted_at IS NOT NULL)
        UNION ALL
        SELECT j.visit, j.member, j.kind, j.on_day, '', j.learned_from, j.avoidable, j.reason, j.by, j.judged_at, 0, 0
        FROM read.judged_visits j WHERE j.on_day IS NOT NULL) AS u) AS v"""

PROPOSALS = """SELECT p.episode, p.population, p.state, p.since, p.by, '', p.grounds, p.policy, p.reason, coalesce(e.member, ''),
    '', coalesce(e.plan, ''), coalesce(e.closed_because, '')
FROM read.referral_proposals p LEFT JOIN read.episodes e ON e.key = p.episode"""


@dataclass(frozen=True, slots=True)
class UtilisationVisit:
    """An emergency visit or a stay. `visit`: its id, which `judge-visit` takes. `judged`: open, avoidable, not_avoidable. `asked`:
    the worklist asks somebody to judge this member's visits. `admit_reason`, `diagnoses`: what the hospital says brought them, in
    its words, where they are asked for; they may tell of substance use (42 CFR Part 2)."""

    visit: str
    member: str
    member_name: str
    kind: str
    on_day: date
    facility: str
    told_by: str
    judged: str
    reason: str
    judged_by: str
    judged_by_name: str
    judged_at: datetime | None
    asked: bool
    admit_reason: str = ""
    diagnoses: str = ""


@dataclass(frozen=True, slots=True)
class ReferralProposal:
    """Somebody whose episode is over and whose visits propose another one. `closed_because`: why it was over."""

    episode: str
    population: str
    state: str
    since: datetime
    by: str
    by_name: str
    grounds: tuple[Ground, ...]
    policy: str
    reason: str
    member: str
    member_name: str
    plan: str
    closed_because: str


class AvoidableQueries(Reader):
    """Asks about repeated visits."""

    def visits(
        self,
        *,
        member: StreamId | None = None,
        state: str | None = None,
        asked: bool | None = True,
        since: date | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
        unseal: bool = False,
    ) -> Page[UtilisationVisit]:
        """Emergency visits and stays, the earliest first; left to itself, of members whose visits somebody is asked to judge.
        `unseal`: with what the hospital says brought them."""
        ask = Ask(VISITS)
        if state is not None:
            known("state", (state,), JUDGED)
        ask.equal("v.member", member).equal("v.judged", state)
        ask.equal("v.asked", asked if member is None else None).if_given("v.on_day >= %s", since)
        ask.order("v.member", "v.sorted").page(limit, cursor)
        found = ask.paged(self._rows(*ask.sql()), lambda row: (UtilisationVisit(*row[:-2]), row[-2:]))
        words = self._words(at for _, positions in found.items for at in positions) if unseal else {}
        visits = tuple(
            replace(visit, admit_reason=words.get(reason, ""), diagnoses=words.get(diagnoses, ""))
            for visit, (reason, diagnoses) in found.items
        )
        return self._named(Page(visits, found.next_cursor), names, {"member_name": "member", "judged_by_name": "judged_by"})

    def _words(self, positions: Iterable[int]) -> dict[int, str]:
        """What hospitals said, by where it stands in the log; nothing of whose data was erased."""
        with away():
            told = [stored.recorded for stored in self._log.at(sorted({at for at in positions if at}))]
        return {r.position: r.fact.words for r in told if isinstance(r.fact, VisitExplained) and r.fact.words}

    def referral_proposals(
        self,
        *,
        state: str | None = None,
        member: StreamId | None = None,
        plan: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[ReferralProposal]:
        """Referrals that repeated visits propose, by the instant of the last word on them."""
        ask = Ask(PROPOSALS)
        if state is not None:
            known("state", (state,), avoidable.STATES)
        ask.equal("p.state", state).equal("e.member", member).equal("e.plan", plan)
        ask.order("p.since", "p.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _proposal)
        return self._named(page, names, {"member_name": "member", "by_name": "by"})


def _proposal(row: TupleRow) -> ReferralProposal:
    said: list[Any] = list(row)
    said[6] = msgspec.convert(said[6], tuple[Ground, ...])
    return ReferralProposal(*said)

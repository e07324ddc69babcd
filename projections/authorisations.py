"""What the plan authorised, episode by episode, until when it pays, and what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.episode.authorisations import (
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    CareCarriedOver,
    DiscontinuationConsidered,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

KEPT_MAX = 60


@dataclass(frozen=True, slots=True)
class AuthorisedSpan:
    """The plan pays from the first to the last day, both included."""

    authorisation: str
    basis: str
    first_day: date
    last_day: date
    number: str
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the plan. `denied_on`: the day on which its no was told to us."""

    request: str
    basis: str
    at: datetime
    following: str
    denied_on: date | None = None
    denied_because: str = ""


@dataclass(frozen=True, slots=True)
class AuthorisationRow:
    """`key` is the episode's stream. `authorised_until` is the last day of all spans."""

    key: str
    spans: tuple[AuthorisedSpan, ...] = ()
    requests: tuple[Asked, ...] = ()
    authorised_until: date | None = None
    considered_at: datetime | None = None
    considered_outcome: str = ""
    carried_over_from: str = ""
    carried_over_evidence: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: AuthorisationRow | None, stored: StoredFact) -> AuthorisationRow:
    row = row or AuthorisationRow(key)
    recorded = stored.recorded
    at = recorded.occurred_at
    match recorded.fact:
        case AuthorisationGranted() as granted:
            span = AuthorisedSpan(
                granted.authorisation, granted.basis.value, granted.first_day, granted.last_day, granted.number,
                recorded.recorded_at,
            )  # fmt: skip
            others = (s for s in row.spans if s.authorisation != granted.authorisation)
            spans = tuple(sorted((*others, span), key=lambda s: (s.first_day, s.authorisation)))[-KEPT_MAX:]
            return replace(row, spans=spans, authorised_until=max(s.last_day for s in spans))
        case AuthorisationRequested(request=request, basis=basis, following=following):
            return replace(row, requests=(*row.requests, Asked(request, basis.value, at, following))[-KEPT_MAX:])
        case AuthorisationDenied(request=request, communicated_on=day, reason=reason):
            asked = (replace(r, denied_on=day, denied_because=reason) if r.request == request else r for r in row.requests)
            return replace(row, requests=tuple(asked))
        case DiscontinuationConsidered(outcome=outcome):
            if row.considered_at is not None and row.considered_at > at:
                return row
            return replace(row, considered_at=at, considered_outcome=outcome)
        case CareCarriedOver(previous=previous, evidence=evidence):
            return replace(row, carried_over_from=previous, carried_over_evidence=evidence)
        case _:
            return row


AUTHORISATIONS = ReadModel(
    name="authorisations",
    row=AuthorisationRow,
    keys=_keys,
    fold=_fold,
    facts=(
        AuthorisationDenied,
        AuthorisationGranted,
        AuthorisationRequested,
        CareCarriedOver,
        DiscontinuationConsidered,
    ),
    indexes=("authorised_until, key",),
)

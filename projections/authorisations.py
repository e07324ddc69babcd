"""What the plan authorised, episode by episode, until when it pays, and what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.episode.authorisations import (
    AuthorisationBasis,
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
    """The plan pays from the first to the last day, both included. `said_at` is when it was last said so."""

    authorisation: str
    basis: str
    first_day: date
    last_day: date
    number: str
    said_at: datetime


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
    """`key` is the episode's stream. `authorised_until` is the last day of all spans, those cut short by a denial included."""

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
    after = _after(row or AuthorisationRow(key), stored)
    return replace(after, authorised_until=max((_last_day(s, after.requests) for s in after.spans), default=None))


def _after(row: AuthorisationRow, stored: StoredFact) -> AuthorisationRow:
    at = stored.recorded.occurred_at
    match stored.recorded.fact:
        case AuthorisationGranted() as granted:
            return _granted(row, granted, at)
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


def _granted(row: AuthorisationRow, granted: AuthorisationGranted, at: datetime) -> AuthorisationRow:
    """Of one authorisation the last word in the world's order counts."""
    if any(s.authorisation == granted.authorisation and s.said_at > at for s in row.spans):
        return row
    span = AuthorisedSpan(
        granted.authorisation, granted.basis.value, granted.first_day, granted.last_day, granted.number, at
    )  # fmt: skip
    others = (s for s in row.spans if s.authorisation != granted.authorisation)
    return replace(row, spans=tuple(sorted((*others, span), key=lambda s: (s.first_day, s.authorisation)))[-KEPT_MAX:])


def _last_day(span: AuthorisedSpan, requests: tuple[Asked, ...]) -> date:
    """Streamlined days end with the day on which the plan's no to the request that followed them was told (G p109)."""
    if span.basis != AuthorisationBasis.STREAMLINED:
        return span.last_day
    told = (
        r.denied_on
        for r in requests
        if r.denied_on is not None
        and (
            r.following == span.authorisation
            or (not r.following and r.basis != AuthorisationBasis.RENEWAL and span.first_day <= r.denied_on)
        )
    )
    return min((span.last_day, *told))


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

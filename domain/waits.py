"""What goes on until a person or a hospital says otherwise: somebody is asked to look every so many days, lest it be forgotten.

Shared by every process. What is waited for, and which review answers it, is the process's business and not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from domain.alerts import alert
from domain.core import Alarm, Because, EventId, Instant, Obligation, ObligationState, StreamId, Window
from domain.requests import Want
from domain.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`key` names it for good; `cause` are the facts that it rests on; from `since` on somebody looks every so many days."""

    key: str
    rule: str
    policy: str
    cause: tuple[EventId, ...]
    since: Instant
    every_days: int
    owed_by: str
    how: str = ""


def turn_of(
    wait: Wait, subject: StreamId, alarm: Alarm, reviews: Timeline = (), answers: Callable[[str, object], bool] | None = None
) -> Obligation:
    """The turn of a wait that runs now: due at its end, met by the first review in it that answers; then comes the next.

    `answers(key of the turn, fact of the review)`; None: every review does."""
    every = timedelta(days=wait.every_days)
    turn = alarm.turns_since(wait.since, every)
    opens, due = wait.since + every * turn, wait.since + every * (turn + 1)
    key = f"{wait.key}/{turn}"
    looked = next((e for e in reviews if opens <= e.at < due and (answers is None or answers(key, e.fact))), None)
    return Obligation(
        key=key,
        window=Window(opens, due, due),
        act_by=due,
        state=ObligationState.MET if looked is not None else ObligationState.OPEN,
        owed_by=wait.owed_by,
        because=Because(wait.rule, wait.policy, wait.cause if looked is None else (*wait.cause, looked.event_id)),
        subject=subject,
        met_at=looked.at if looked is not None else None,
        how=wait.how,
    )


def unheeded(turns: Iterable[Obligation], supervisor: str) -> Iterator[Want]:
    """An alert for each turn after the first at which nobody has looked: to whom it falls, then to their supervisor."""
    for owed in turns:
        if owed.state is ObligationState.OPEN and (number := int(owed.key.rpartition("/")[2])) > 0:
            recipient = owed.owed_by if number == 1 else supervisor
            yield alert(f"look/{owed.key}", recipient, "please_look", owed.key, owed.window.due, owed.because.policy)

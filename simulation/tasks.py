"""What an obligation asks of somebody in the simulated programme: which kind of work, from when on, and who may do it.

A table from the rules of the plans to the work of people; what the rules are is said in `domain` and `policies`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from domain.core import Instant, Obligation, ObligationState, ProcessRef
from domain.policy import Evidence, PolicyBook
from domain.staff.facts import Licence

LAST_TRIES_DAYS = 3
"""So many days before the initial contact is due somebody tries again, whatever the ladder says."""

TO_BE_DONE = (ObligationState.OPEN, ObligationState.MISSED)


class Work(StrEnum):
    """Kinds of work."""

    TRY = "try to reach"
    SPEAK = "speak"
    VISIT = "visit"
    BEGIN_ASSESSMENT = "begin the assessment"
    ASSESS = "assess"
    WRITE_CARE_PLAN = "write the care plan"
    GIVE_COPY = "give a copy"
    CLINICAL_REVIEW = "clinical review"
    ENROLMENT_STEPS = "steps of the enrolment"
    CONFIRM_POPULATION = "confirm a population"
    ASK_FOR_RENEWAL = "ask for the renewal"
    CONSIDER = "look at the criteria"
    READ_NOTICE = "read a notice"
    CARE_ITEM = "item of transitional care"
    TALK_ITEM = "talk of transitional care"
    HOME_ITEM = "visit of transitional care"
    LICENSED_ITEM = "reconcile medicines"
    LOOK_AT_STAY = "look at a stay"
    LOOK = "look at the follow-up"
    DECIDE = "decide on unable to reach"
    CLOSE = "close the episode"


SUPERVISED = (Work.DECIDE, Work.CLOSE)
WITH_MEMBER = (
    Work.TRY, Work.SPEAK, Work.VISIT, Work.BEGIN_ASSESSMENT, Work.ASSESS, Work.WRITE_CARE_PLAN, Work.GIVE_COPY, Work.TALK_ITEM,
    Work.HOME_ITEM, Work.LICENSED_ITEM, Work.ENROLMENT_STEPS,
)  # fmt: skip
"""What needs the member's language, or an interpreter."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do: `key` of the obligation in `ref`'s plan. `from_at`: it is not taken up before; `until`: then it can be done
    no more."""

    ref: ProcessRef
    key: str
    work: Work
    rule: str
    from_at: Instant
    due: Instant
    until: Instant
    licence: Licence | None = None
    how: str = ""


def tasks_of(ref: ProcessRef, owed: tuple[Obligation, ...], book: PolicyBook, ahead: timedelta) -> tuple[Task, ...]:
    """The work that a plan's obligations ask for, as far as it can still be done."""
    found: list[Task] = []
    for o in owed:
        if o.state not in TO_BE_DONE or o.suspended or not o.governing:
            continue
        work, licence = _work(ref, o, book)
        if work is None:
            continue
        from_at = max(o.window.opens, o.act_by - ahead)
        if o.because.rule.startswith("initial_contact."):
            from_at = max(o.window.opens, o.act_by - timedelta(days=LAST_TRIES_DAYS))
        elif o.because.rule == "followup.in_person":
            from_at = max(o.window.opens, _spread(o))
        until = o.window.due if work is Work.TRY else o.window.closes
        found.append(Task(ref, o.key, work, o.because.rule, from_at, o.act_by, until, licence, o.how))
    return tuple(found)


VISITS_MAX = 4


def _spread(o: Obligation) -> Instant:
    """The visits of a period are spread over it."""
    number = int(o.key.rpartition("/")[2])
    return o.window.opens + (o.window.due - o.window.opens) * number / (VISITS_MAX + 1)


def _work(ref: ProcessRef, o: Obligation, book: PolicyBook) -> tuple[Work | None, Licence | None]:
    words = o.because.rule.split(".")
    match words:
        case ["outreach", "attempt"] | ["initial_contact", *_]:
            return Work.TRY, None
        case ["outreach", "decide_unable_to_reach"]:
            return Work.DECIDE, None
        case ["outreach", "review", reason] if reason.startswith("close_"):
            return Work.CLOSE, None
        case ["transition", "notice_read"]:
            return Work.READ_NOTICE, None
        case ["transition", item]:
            return _item(o, item, book)
        case ["followup", *rest]:
            return _of_the_year(rest)
        case _:
            return None, None


def _item(o: Obligation, key: str, book: PolicyBook) -> tuple[Work | None, Licence | None]:
    if key == "notice":
        return None, None  # the machine's
    policy = book.named(o.because.policy)
    item = next((i for i in policy.transition.item if i.key == key), None) if policy is not None else None
    if item is None:
        return Work.LOOK_AT_STAY, None
    match item.evidence:
        case Evidence.CONTACT | Evidence.DISCUSSED:
            return Work.TALK_ITEM, None
        case Evidence.IN_PERSON:
            return Work.HOME_ITEM, None
        case Evidence.LICENSED:
            return Work.LICENSED_ITEM, Licence.RN
        case _:
            return Work.CARE_ITEM, None


def _of_the_year(rest: list[str]) -> tuple[Work | None, Licence | None]:
    match rest:
        case ["contact" | "minimum" | "minimum_count"]:
            return Work.SPEAK, None
        case ["in_person" | "overlay", *_]:
            return Work.VISIT, None
        case ["assessment", "begin"]:
            return Work.BEGIN_ASSESSMENT, None
        case ["assessment", *_]:
            return Work.ASSESS, None
        case ["care_plan", "copy"]:
            return Work.GIVE_COPY, None
        case ["care_plan", "clinical_review"]:
            return Work.CLINICAL_REVIEW, Licence.RN
        case ["care_plan", *_]:
            return Work.WRITE_CARE_PLAN, None
        case ["authorisation", "discontinuation"]:
            return Work.CONSIDER, None
        case ["authorisation", *_]:
            return Work.ASK_FOR_RENEWAL, None
        case ["enrolment_steps"]:
            return Work.ENROLMENT_STEPS, None
        case ["population"]:
            return Work.CONFIRM_POPULATION, None
        case _:
            return Work.LOOK, None

"""What the front door leaves for a person: everything that waits for somebody's word, with why, since when, and what to do.

Feeds that fell silent, work of ours that keeps failing, files that stopped, questions about who somebody is, people whom nobody
knows and who come again and again, messages that could not be understood; and what hospitals' and plans' messages made a process
ask for: a new episode, a referral, visits to judge. It names nobody where names are not asked for, and tells each role what it may
see and do.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from api.offering import OFFICE, READERS, RUNNING, Offer
from api.offers import OFFERS
from domain.core import StreamId
from domain.staff.facts import Role
from intake.door import FrontDoor
from intake.files.roster import plan_of
from intake.operating.heaps import Heap, heaps
from intake.people.identity_desk import QUESTIONS_MAX, Choice, Question
from intake.people.identity_desk import Kind as QuestionKind
from intake.referrals.strangers import Stranger
from intake.senders.notices import ENDS_BY_ITSELF, Notice
from intake.store.inbox import Row
from projections.answers import WorkItem
from projections.queries import Queries
from projections.words import listed, plain, several

OPERATIONS: Final = (Role.OPERATOR, Role.SUPERVISOR, Role.AUDITOR)
FILES_MAX: Final = 200
DECISIONS_MAX: Final = 1_000
MATTERS_MAX: Final = 2_000


class MatterKind(StrEnum):
    """What kind of thing waits, the most pressing first: that is the order of the list."""

    NOTICE = "notice"
    STALLED = "stalled"
    DEAD_LETTER = "dead_letter"
    FILE = "file"
    IDENTITY = "identity"
    DECISION = "decision"
    STRANGER = "stranger"
    WAITING = "waiting"
    UNMATCHED = "unmatched"


MAY_LOOK: Final[Mapping[MatterKind, tuple[Role, ...]]] = {
    MatterKind.NOTICE: OPERATIONS,
    MatterKind.STALLED: OPERATIONS,
    MatterKind.DEAD_LETTER: OPERATIONS,
    MatterKind.FILE: READERS,
    MatterKind.IDENTITY: READERS,
    MatterKind.DECISION: READERS,
    MatterKind.STRANGER: OFFICE,
    MatterKind.WAITING: OPERATIONS,
    MatterKind.UNMATCHED: OPERATIONS,
}
"""Who sees it: whoever may read it at its own address."""


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing that can be done: in words, as a command, as a call with its body. What only a person knows stands as `…`. `roles`
    may do it."""

    what: str
    command: str
    call: str
    body: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[Role, ...] = READERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something that waits. `id` is its own where it has one, else that of the oldest of `count`; `source`: the sender or the plan;
    `who` only where names were asked for. `process` and `key` name what the worklist owes for it, and until when."""

    kind: MatterKind
    id: str
    why: str
    since: datetime
    count: int = 1
    source: str = ""
    members: tuple[StreamId, ...] = ()
    who: str = ""
    process: str = ""
    key: str = ""
    due_at: datetime | None = None
    owed_by: str = ""
    todo: tuple[ToDo, ...] = ()


def open_matters(
    door: FrontDoor,
    queries: Queries,
    now: datetime,
    *,
    role: Role | None = None,
    kind: MatterKind | None = None,
    plan: str | None = None,
    names: bool = False,
) -> tuple[Matter, ...]:
    """All of it, by kind and then the longest first. `role`: only what it may see, with what it may do; None: somebody at the
    machine, who may all. `plan`: only what is known to be of that health plan. Looks only for what is asked for: strangers cost the
    unsealing of every message that nobody was found for."""
    seen = {k for k in MatterKind if kind in (None, k) and (role is None or role in MAY_LOOK[k])}
    of_plan = seen if plan is None else seen & _OF_A_PLAN
    found: list[Matter] = []
    if MatterKind.NOTICE in of_plan:
        found += map(_of_notice, door.notices.open())
    if seen & set(_HEAPED.values()):
        heaped = (_of_heap(heap) for heap in heaps(door.inbox, now) if plan is None or _is_of(heap, plan))
        found += (matter for matter in heaped if matter.kind in seen)
    if MatterKind.FILE in of_plan:
        found += map(_of_file, door.files.files(plan=plan or "", waiting=True, limit=FILES_MAX))
    if MatterKind.IDENTITY in of_plan:
        found += map(_of_question, door.desk.questions(limit=QUESTIONS_MAX, now=now))
    if MatterKind.DECISION in of_plan:
        asked = queries.asked_of_people(tuple(DECISIONS), now=now, plan=plan, limit=DECISIONS_MAX)
        found += map(_of_decision, asked)
    if MatterKind.STRANGER in of_plan:
        found += map(_of_stranger, door.strangers.candidates(plan=plan, names=names))
    order = {kind: n for n, kind in enumerate(MatterKind)}
    found.sort(key=lambda m: (order[m.kind], m.since, m.id))
    return tuple(m if role is None else _for(m, role) for m in found[:MATTERS_MAX])


def counted(matters: Iterable[Matter]) -> dict[str, int]:
    """How many there are of each kind; of what is heaped, how many lie there."""
    found: Counter[str] = Counter()
    for matter in matters:
        found[matter.kind.value] += matter.count
    return dict(found)


_OF_A_PLAN: Final = frozenset((MatterKind.FILE, MatterKind.DECISION, MatterKind.STRANGER))
"""What can be said to be of one plan; so can what is heaped of its files."""


def _is_of(heap: Heap, plan: str) -> bool:
    return heap.what != "message" and plan_of(heap.source_id) == plan


def _for(matter: Matter, role: Role) -> Matter:
    return replace(matter, todo=tuple(todo for todo in matter.todo if role in todo.roles))


# --- the senders -----------------------------------------------------------------------------------------------------------------


def _of_notice(notice: Notice) -> Matter:
    number = str(notice.notice_id)
    path = f"/v1/notices/{number}/endings"
    end = ToDo("say that it was seen to", f"throughline inbox end-notice {number}", f"POST {path}", {}, RUNNING)
    look = ToDo(notice.remedy, "throughline inbox feeds", "GET /v1/feeds", {}, OPERATIONS)
    return Matter(
        kind=MatterKind.NOTICE, id=number, why=notice.said, since=notice.since, count=notice.times, source=notice.source_id,
        todo=(look,) if notice.kind in ENDS_BY_ITSELF else (look, end),
    )  # fmt: skip


# --- messages and rows of files --------------------------------------------------------------------------------------------------

_HEAPED: Final = {
    "received": MatterKind.STALLED,
    "dead": MatterKind.DEAD_LETTER,
    "waiting": MatterKind.WAITING,
    "unmatched": MatterKind.UNMATCHED,
}


def _of_heap(heap: Heap) -> Matter:
    said = ": ".join(part for part in (plain(heap.reason), heap.error) if part)
    many, source = several(heap.messages, heap.what), heap.source_id if heap.what == "message" else plan_of(heap.source_id)
    match heap.status:
        case "received":
            why = f"{many} not worked off" + (f" ({said})" if said else "")
        case "dead" if heap.what == "row":
            why = f"{many} of a plan's file could not be taken"
        case "dead" if heap.what == "file":
            why = "a plan's file could not be taken" + (f": {said}" if said else "")
        case "dead":
            why = f"{many} that could not be understood" + (f": {said}" if said else "")
        case "unmatched":
            why = f"{many} of which nobody was found to be meant" + (f": {said}" if said else "")
        case _:
            why = f"{many} that {'waits' if heap.messages == 1 else 'wait'}" + (f": {said}" if said else "")
    return Matter(
        kind=_HEAPED[heap.status], id=str(heap.first if heap.file is None else heap.file), why=why, since=heap.since,
        count=heap.messages, source=source, todo=tuple(_unheap(heap)),
    )  # fmt: skip


def _unheap(heap: Heap) -> Iterator[ToDo]:
    """What to do with all of a heap at once, or with one after the other."""
    if heap.status == "received":
        yield ToDo("see whether the intake worker runs", "throughline doctor", "GET /readyz", {}, OPERATIONS)
        return
    if heap.file is not None and heap.what == "row":
        report = f"throughline files report {heap.file} --remarkable"
        yield ToDo("send the report to the plan", report, f"GET /v1/files/{heap.file}/report")
    asked = {"status": heap.status, "source": heap.source_id, "reason": heap.reason}
    given = {name: value for name, value in asked.items() if value}
    options = " ".join(f"--{name} {shlex.quote(value)}" for name, value in given.items())
    query = "&".join(f"{name}={value}" for name, value in given.items())
    yield ToDo("look at them", f"throughline inbox list {options}", f"GET /v1/inbox?{query}", {}, OPERATIONS)
    one = str(heap.first)
    if heap.status == "unmatched":
        yield ToDo(
            "say whose one is; else they wait until somebody becomes known, or their source's days are over",
            f"throughline inbox resolve {one} --member …", f"POST /v1/inbox/{one}/resolutions", {"member": "…"}, RUNNING,
        )  # fmt: skip
    if heap.status == "waiting":
        release = f"POST /v1/inbox/{one}/releases"
        yield ToDo("let one be applied as it is", f"throughline inbox release {one}", release, {}, RUNNING)
    which = {"statuses": [heap.status], "source": heap.source_id, **({"reason": heap.reason} if heap.reason else {})}
    if heap.what == "message":
        yield ToDo(
            "try them again with the present program and registry; --dry-run first",
            f"throughline inbox replay {options} --dry-run", "POST /v1/inbox/replays", {**which, "dry_run": True}, RUNNING,
        )  # fmt: skip
    yield _set_aside(heap, which)


def _set_aside(heap: Heap, which: Mapping[str, Any]) -> ToDo:
    said = "say that nothing is to follow from them"
    if heap.file is not None and heap.what == "row":
        command = f"throughline inbox discard --file {heap.file} --status dead --reason told_the_plan"
        body = {"file": str(heap.file), "statuses": ["dead"], "because": "told_the_plan"}
        return ToDo(said, command, "POST /v1/inbox/discards", body, RUNNING)
    if heap.what != "message":
        call = f"POST /v1/inbox/{heap.first}/discards"
        return ToDo(
            "say that nothing is to follow from one",
            f"throughline inbox discard {heap.first} --reason …",
            call,
            {"reason": "…"},
            RUNNING,
        )
    left_for = f" --left-for {heap.reason}" if heap.reason else ""
    command = f"throughline inbox discard --status {heap.status} --source {shlex.quote(heap.source_id)}{left_for} --reason …"
    return ToDo(said, command, "POST /v1/inbox/discards", {**which, "because": "…"}, RUNNING)


# --- files, people ---------------------------------------------------------------------------------------------------------------


def _of_file(row: Row) -> Matter:
    id, word = row.inbox_id, {"reason": "…"}
    said = str((row.outcome or {}).get("stopped", "")).partition(";")[0] or plain(row.reason)
    why = f"a plan's file stopped: {said}"
    return Matter(
        kind=MatterKind.FILE, id=str(id), why=why, since=row.received_at, source=plan_of(row.source_id),
        todo=(
            ToDo("look at it", f"throughline files show {id}", f"GET /v1/files/{id}"),
            ToDo("the plan says that it is right", f"throughline files confirm {id} --reason …",
                 f"POST /v1/files/{id}/confirmations", word, RUNNING),
            ToDo("it is wrong", f"throughline files reject {id} --reason …", f"POST /v1/files/{id}/rejections", word, RUNNING),
        ),
    )  # fmt: skip


_QUESTIONS: Final = {
    QuestionKind.MESSAGE: "whose message is it?",
    QuestionKind.PAIR: "are these two members one person?",
    QuestionKind.TWO_EPISODES: "one person with two open episodes: close one of them",
    QuestionKind.CONTACT_POINT: "does the contact point that a hospital has reach the member?",
}


def _of_question(question: Question) -> Matter:
    path = f"/v1/identity/questions/{question.id}"
    look = ToDo("see both sides", f"throughline identity show {question.id}", f"GET {path}", {}, OFFICE)
    if question.choices:
        said = "|".join(question.choices)
        body = {"decision": said, "reason": "…", **({"member": "…"} if Choice.ATTACH in question.choices else {})}
        decide = ToDo(
            f"decide: {listed(question.choices)}", f"throughline identity decide {question.id} {said} --reason …",
            f"POST {path}/decisions", body, OFFICE,
        )  # fmt: skip
    else:
        decide = _by("close", "episode-…", reason="…")
    return Matter(
        kind=MatterKind.IDENTITY, id=str(question.id), why=f"{_QUESTIONS[question.kind]} {plain(question.reason)}",
        since=question.since, source=question.source, members=question.members, todo=(look, decide),
    )  # fmt: skip


def _of_stranger(stranger: Stranger) -> Matter:
    came, codes = several(len(stranger.visits), "visit"), ", ".join(stranger.populations)
    why = f"somebody unknown came for {came}: population of focus {codes}, if they could have been avoided"
    if stranger.dismissed:
        why += f"; not referred before ({stranger.dismissed}), and came again"
    path, of = f"/v1/strangers/{stranger.id}", f"{stranger.id} --plan {stranger.plan}"
    return Matter(
        kind=MatterKind.STRANGER, id=stranger.id, why=why, since=stranger.last_at, source=", ".join(stranger.facilities),
        who=stranger.person,
        todo=(
            ToDo("refer them", f"throughline strangers refer {of}", f"POST {path}/referrals", {"plan": stranger.plan}, OFFICE),
            ToDo("do not, until they come again", f"throughline strangers dismiss {of} --reason …", f"POST {path}/dismissals",
                 {"plan": stranger.plan, "reason": "…"}, OFFICE),
        ),
    )  # fmt: skip


# --- what a process asks for -----------------------------------------------------------------------------------------------------

_OFFERED: Final[Mapping[str, Offer]] = {offer.verb: offer for offer in OFFERS}


def _by(verb: str, stream: StreamId, **said: Any) -> ToDo:
    """A command that is offered, as both surfaces take it."""
    offer = _OFFERED[verb]
    words = ["throughline", "record", verb, *(() if offer.founds else (stream,))]
    for name, value in said.items():
        words += [f"--{name.replace('_', '-')}", *(() if value is True else (str(value),))]
    path = f"/v1/{offer.resource}/{offer.noun}" if offer.founds else f"/v1/{offer.resource}/{stream}/{offer.noun}"
    command = " ".join(word if word in ("…", "episode-…") or "|" in word else shlex.quote(word) for word in words)
    return ToDo(offer.summary, command, f"POST {path}", said, offer.roles)


def _new_episode(item: WorkItem) -> tuple[ToDo, ...]:
    anew = _by("referral", "", member=item.member, plan=item.plan, source="…", reengage=True)
    return anew, _by("dismiss-new-episode", item.process, cause=item.facts[0] if item.facts else "…", reason="…")


def _referral(item: WorkItem) -> tuple[ToDo, ...]:
    population = _about(item)
    anew = _by("referral", "", member=item.member, plan=item.plan, source="utilisation")
    return anew, _by("dismiss-referral", item.process, population=population, reason="…")


def _visits(item: WorkItem) -> tuple[ToDo, ...]:
    visits = f"GET /v1/utilisation-visits?member={item.member}&unseal=true"
    look = ToDo("see which visits, and why", f"throughline avoidable-visits {item.member} --state open --unseal", visits)
    judge = _by("judge-visit", item.member, visit="…", avoidable=True, reason="…")
    return look, judge


def _absent(item: WorkItem) -> tuple[ToDo, ...]:
    return (_by("settle-roster-absence", item.episode, assignment="stands|withdrawn", reason="…"),)


def _conflict(item: WorkItem) -> tuple[ToDo, ...]:
    return (_by("settle-conflict", item.episode, outcome="…", reason="…"),)


def _denied(item: WorkItem) -> tuple[ToDo, ...]:
    return (_by("review-follow-up", item.process, about=item.key, finding="goes_on"), _by("close", item.episode, reason="…"))


def _stay(item: WorkItem) -> tuple[ToDo, ...]:
    stay = item.key.split("/")[1]
    look = f"throughline timeline {stay}"
    see = ToDo("see what the hospital said", look, f"GET /v1/streams/{stay}/timeline")
    return see, _by("review-stay", item.process, stay=stay, finding="…")


DECISIONS: Final[Mapping[str, tuple[str, Any]]] = {
    "outreach.review.new_episode": ("heard of or seen in hospital after the end: a new episode is proposed", _new_episode),
    "followup.referral_proposed": ("repeated visits propose a referral", _referral),
    "followup.avoidable_visits": ("came to hospitals again and again", _visits),
    "followup.missing_from_roster": ("missing from the plan's full list", _absent),
    "followup.conflict": ("somebody else has the member too", _conflict),
    "followup.referral_denied": ("the plan said no to a referral", _denied),
    "transition.contradiction": ("what the hospital said of a stay does not fit together", _stay),
    "transition.placement_review": ("went to another hospital or a hospice, and nothing was heard from there", _stay),
}
"""What messages and files make a process ask of a person, by its rule: in words, and what can be done about it."""


def _of_decision(item: WorkItem) -> Matter:
    said, todo = DECISIONS[item.rule]
    return Matter(
        kind=MatterKind.DECISION, id=f"{item.process}/{item.key}", why=f"{said}; {item.how}" if item.how else said,
        since=asked_since(item), source=item.plan, members=(item.member,) if item.member else (), process=item.process,
        key=item.key, due_at=item.due_at, owed_by=item.owed_by, todo=todo(item),
    )  # fmt: skip


def asked_since(item: WorkItem) -> datetime:
    """Since when it is asked: each turn of a wait is as long as the others, and the key ends with how many went before."""
    turn = item.key.rpartition("/")[2]
    return item.opens_at - int(turn) * (item.due_at - item.opens_at) if turn.isdigit() else item.opens_at


def _about(item: WorkItem) -> str:
    """What a wait is about: its key is reason, subject and turn."""
    return item.key.partition("/")[2].rpartition("/")[0]

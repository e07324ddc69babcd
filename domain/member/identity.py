"""By which numbers a person is known, and which of the members that we know are one person (messages.md 1.1, 1.2; domain.md 2.5).

A merge is a link, said on both members' streams, and nothing is copied: whoever asks for the person follows it (`person.py`),
so that taking it back restores both exactly. Numbers are named by keyed digests; the numbers themselves are sealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domain.core import Command, Context, Decision, Fact, Instant, On, Recorded, Refusal, StreamId, personal
from domain.member import visit_words
from domain.member.facts import (
    Claimed,
    ContactPointLearned,
    DeathReported,
    DeathReportWithdrawn,
    PointKind,
    Released,
    StayAttributed,
    StayDetached,
)

NUMBERS_MAX = 200
"""Record numbers of one member. Whoever has more is no person but a number that a sender gives to many."""

ABSORBED_MAX = 8
"""Members that one member may stand for."""

FORMER_CINS_MAX = 10
APART_MAX = 100
MESSAGES_MAX = 2_000
PROPOSALS_MAX = 50
BY_HAND = "by_hand"
MEMBER, STAY = "member-", "stay-"
"""How streams of members and stays begin: what else is named is nobody."""

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNumberLearned(Fact):
    """A hospital knows the member by this number. `key` is the keyed digest of authority and number."""

    authority: str
    key: str
    number: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNumberRetired(Fact):
    """The hospital gave the number up for another one, `into`, of the same person. Late messages that have it are this member's."""

    authority: str
    key: str
    into: str
    trigger: str = ""
    number: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNumberForgotten(Fact):
    """The number is not this member's after all."""

    key: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CinReplaced(Fact):
    """The state gave the member another CIN; the older one is frozen and still means this member. `claim` is the newer one's."""

    claim: StreamId
    cin: str | None = personal()
    former: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CinReplacementWithdrawn(Fact):
    """The newer CIN is not this member's after all; `cin` is the one that counts again."""

    claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerCinLearned(Fact):
    """Somebody found that an older CIN, frozen since, still means this member. `claim` is that older one's."""

    claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerCinForgotten(Fact):
    """The older CIN was never this member's."""

    claim: StreamId
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePersonAsked(Fact):
    """Somebody has cause to ask whether two members are one person: `evidence` names it. Said on both streams."""

    other: StreamId
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersMerged(Fact):
    """Two members were found to be one person, who goes on as `survivor`. Said on both streams. `evidence` names what agreed;
    `episodes` are the last ones of both, whose processes have to look again."""

    survivor: StreamId
    retired: StreamId
    evidence: tuple[str, ...] = ()
    episodes: tuple[StreamId, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersSeparated(Fact):
    """They are two people after all. Said on both streams."""

    survivor: StreamId
    retired: StreamId
    episodes: tuple[StreamId, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersKeptApart(Fact):
    """Somebody looked and found two people, on this evidence. Said on both streams; other evidence may propose them again."""

    other: StreamId
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecognised(Fact):
    """Somebody looked and found that a hospital's or plan's message is about this member. `message` is its id in the inbox."""

    message: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDisowned(Fact):
    """Somebody looked and found that a message is not about this member, though `evidence` speaks for it. `numbers` are the keys of
    the numbers that it has: whoever is known by one of them is not this member either, on this evidence."""

    message: str
    numbers: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPointProposed(Fact):
    """A hospital has this number or address of the member. Nobody is reached by it until somebody accepts it."""

    point: str
    kind: PointKind
    learned_from: str
    source: str = ""
    value: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPointProposalRejected(Fact):
    point: str
    reason: str | None = personal()


IdentityFact = (
    RecordNumberLearned
    | RecordNumberRetired
    | RecordNumberForgotten
    | CinReplaced
    | CinReplacementWithdrawn
    | FormerCinLearned
    | FormerCinForgotten
    | OnePersonAsked
    | MembersMerged
    | MembersSeparated
    | MembersKeptApart
    | MessageRecognised
    | MessageDisowned
    | ContactPointProposed
    | ContactPointProposalRejected
)

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnRecordNumber(Command):
    authority: str
    key: str
    number: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireRecordNumber(Command):
    """`key` is given up for `into`. Either may be new to us; both are this member's."""

    authority: str
    key: str
    into: str
    trigger: str = ""
    number: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRecordNumber(Command):
    key: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceCin(Command):
    """`cin_claim` is the claim stream of the newer CIN."""

    cin_claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawCinReplacement(Command):
    """`cin` is the newer one, which is not this member's after all; `cin_claim` its claim stream."""

    cin_claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnFormerCin(Command):
    """`cin` is an older one of the member's; `cin_claim` its claim stream. The one that counts stays."""

    cin_claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetFormerCin(Command):
    """The older CIN was never the member's."""

    cin_claim: StreamId
    cin: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskWhetherOne(Command):
    """Two members may be one person, because of what `evidence` names: somebody has to look."""

    other: StreamId
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeMembers(Command):
    """The stream is the member who goes on; `retired` is the same person under other numbers."""

    retired: StreamId
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparateMembers(Command):
    """They are two people after all: both are restored as they were."""

    retired: StreamId
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepMembersApart(Command):
    """Two people, though something speaks for one: `evidence` names what."""

    other: StreamId
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniseMessage(Command):
    """Said again it counts again: it was found to be another member's in between, or whoever said it could not move its stay."""

    message: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisownMessage(Command):
    """`numbers` are the keys of the message's numbers, `evidence` names what agreed."""

    message: str
    numbers: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStay(Command):
    """A stay was attributed to the wrong member: it is `rightful`'s, and concerns their `episode`. `numbers` are the keys of the
    record numbers that its messages have: they go with it, and so does a death that it told of."""

    stay: StreamId
    rightful: StreamId
    episode: StreamId | None = None
    numbers: tuple[str, ...] = ()
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeContactPoint(Command):
    """`point` is an opaque id, the same for the same value of the same member."""

    point: str
    kind: PointKind
    learned_from: str
    source: str = ""
    value: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptContactPoint(Command):
    point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectContactPoint(Command):
    point: str
    reason: str | None = personal()


FromFeeds = LearnRecordNumber | RetireRecordNumber | ProposeContactPoint
"""What a hospital's message may say by itself; everything else here is a person's word."""

Weighty = (
    MergeMembers
    | SeparateMembers
    | ReplaceCin
    | WithdrawCinReplacement
    | LearnFormerCin
    | ForgetFormerCin
    | MoveStay
    | ForgetRecordNumber
)
"""What moves histories, and so is for supervisors and operators."""

IdentityCommand = (
    FromFeeds
    | Weighty
    | AskWhetherOne
    | KeepMembersApart
    | RecogniseMessage
    | DisownMessage
    | AcceptContactPoint
    | RejectContactPoint
)

MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the inbox calls a message."""

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordNumber:
    """`into`: the key of the number that it was given up for; empty where it stands. `number` is None once erased."""

    key: str
    authority: str
    number: str | None
    into: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A contact point that a hospital has and nobody has looked at yet."""

    point: str
    kind: PointKind
    learned_from: str
    source: str
    value: str | None
    since: Instant


@dataclass(frozen=True, slots=True)
class Stranger:
    """Whom a message is about that is not about the member: the keys of their numbers, and what agreed nevertheless."""

    numbers: frozenset[str]
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Identity:
    """`former_cins`: (claim stream of the CIN that replaced it, the frozen CIN), oldest first; `older_cins`: (its claim stream, a
    CIN that somebody found to be an older one). `survivor`: who this member goes on as; `absorbed`: who goes on as this member.
    `asked`: who may be the same person; `apart`: who was found to be somebody else; on which evidence. `messages`: what somebody
    found of messages by their ids: whether they are about this member; `strangers`: whom those are about that are not."""

    numbers: Mapping[str, RecordNumber] = field(default_factory=dict)
    former_cins: tuple[tuple[StreamId, str | None], ...] = ()
    older_cins: tuple[tuple[StreamId, str | None], ...] = ()
    survivor: StreamId | None = None
    absorbed: tuple[StreamId, ...] = ()
    asked: Mapping[StreamId, frozenset[str]] = field(default_factory=dict)
    apart: Mapping[StreamId, frozenset[str]] = field(default_factory=dict)
    messages: Mapping[str, bool] = field(default_factory=dict)
    strangers: Mapping[str, Stranger] = field(default_factory=dict)
    proposals: Mapping[str, Proposal] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()

    @property
    def linked(self) -> tuple[StreamId, ...]:
        """The members with whom this one is one person, as far as this stream says."""
        return (*((self.survivor,) if self.survivor is not None else ()), *self.absorbed)

    def apart_from(self, numbers: Iterable[str]) -> frozenset[str]:
        """On which evidence somebody found that whoever is known by one of these numbers is not this member."""
        asked = frozenset(numbers)
        found = (stranger.evidence for stranger in self.strangers.values() if not asked.isdisjoint(stranger.numbers))
        return frozenset().union(*found)

    def forgotten(self) -> Identity:
        """Without what names a person, once the member's personal data was erased."""
        return replace(
            self,
            numbers={key: replace(number, number=None) for key, number in self.numbers.items()},
            former_cins=tuple((claim, None) for claim, _ in self.former_cins),
            older_cins=tuple((claim, None) for claim, _ in self.older_cins),
            proposals={},
        )


def evolve(state: Identity, recorded: Recorded) -> Identity:
    match recorded.fact:
        case RecordNumberLearned() as f:
            known = state.numbers.get(f.key)
            number = RecordNumber(f.key, f.authority, f.number, known.into if known else "")
            return replace(state, numbers={**state.numbers, f.key: number})
        case RecordNumberRetired() as f:
            return replace(state, numbers={**state.numbers, f.key: RecordNumber(f.key, f.authority, f.number, f.into)})
        case RecordNumberForgotten(key=key):
            return replace(state, numbers={k: v for k, v in state.numbers.items() if k != key})
        case CinReplaced(claim=claim, former=former):
            return replace(state, former_cins=(*state.former_cins, (claim, former)))
        case CinReplacementWithdrawn(claim=claim):
            return replace(state, former_cins=tuple(f for f in state.former_cins if f[0] != claim))
        case FormerCinLearned(claim=claim, cin=cin):
            return replace(state, older_cins=(*state.older_cins, (claim, cin)))
        case FormerCinForgotten(claim=claim):
            return replace(state, older_cins=tuple(f for f in state.older_cins if f[0] != claim))
        case OnePersonAsked(other=other, evidence=evidence):
            return replace(state, asked={**state.asked, other: state.asked.get(other, frozenset()) | set(evidence)})
        case MembersMerged(survivor=survivor, retired=retired):
            if retired == recorded.stream:
                return replace(state, survivor=survivor)
            return replace(state, absorbed=(*(a for a in state.absorbed if a != retired), retired))
        case MembersSeparated(retired=retired):
            if retired == recorded.stream:
                return replace(state, survivor=None)
            return replace(state, absorbed=tuple(a for a in state.absorbed if a != retired))
        case MembersKeptApart(other=other, evidence=evidence):
            return replace(state, apart={**state.apart, other: state.apart.get(other, frozenset()) | set(evidence)})
        case MessageRecognised(message=message):
            strangers = {k: v for k, v in state.strangers.items() if k != message}
            return replace(state, messages={**state.messages, message: True}, strangers=strangers)
        case MessageDisowned(message=message, numbers=numbers, evidence=evidence):
            strangers = {**state.strangers, message: Stranger(frozenset(numbers), frozenset(evidence))}
            return replace(state, messages={**state.messages, message: False}, strangers=strangers)
        case ContactPointProposed() as f:
            proposal = Proposal(f.point, f.kind, f.learned_from, f.source, f.value, recorded.occurred_at)
            return replace(state, proposals={**state.proposals, f.point: proposal})
        case ContactPointProposalRejected(point=point):
            rest = {k: v for k, v in state.proposals.items() if k != point}
            return replace(state, proposals=rest, rejected=state.rejected | {point})
        case _:
            return state


def accepted(state: Identity, point: str) -> Identity:
    """A contact point that was proposed is known now, from whomever."""
    if point not in state.proposals:
        return state
    return replace(state, proposals={k: v for k, v in state.proposals.items() if k != point})


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, member: Any, context: Context, at: Instant) -> Decision:
    """`member` is the stream's own state (domain.member.decider.Member). Who may ask was checked by the member's own decider."""
    state: Identity = member.identity
    match command:
        case LearnRecordNumber() as c:
            return _learn(c, state)
        case RetireRecordNumber() as c:
            return _retire(c, state)
        case ForgetRecordNumber(key=key, reason=reason):
            return (RecordNumberForgotten(key=key, reason=reason),) if key in state.numbers else ()
        case ReplaceCin() as c:
            return _replace_cin(c, member, context)
        case WithdrawCinReplacement(cin_claim=claim, reason=reason):
            former = next((cin for of, cin in state.former_cins if of == claim), None)
            if not any(of == claim for of, _ in state.former_cins):
                return ()
            if state.former_cins[-1][0] != claim:
                return Refusal("replaced_since", "cin: was replaced itself since; take the later replacement back first")
            withdrawn = CinReplacementWithdrawn(claim=claim, cin=former, reason=reason)
            return (withdrawn, On(claim, Released(holder=command.stream, because="cin_replacement_withdrawn")))
        case LearnFormerCin() as c:
            return _learn_former_cin(c, member, context)
        case ForgetFormerCin(cin_claim=claim, reason=reason):
            if not any(of == claim for of, _ in state.older_cins):
                return ()
            forgotten = FormerCinForgotten(claim=claim, reason=reason)
            return (forgotten, On(claim, Released(holder=command.stream, because="former_cin_forgotten")))
        case AskWhetherOne() as c:
            return _ask(c, state, context)
        case MergeMembers() as c:
            return _merge(c, member, context)
        case SeparateMembers(retired=retired, reason=reason):
            if retired not in state.absorbed:
                return ()
            episodes = _last_episodes(member, context[retired].state)
            separated = MembersSeparated(survivor=command.stream, retired=retired, episodes=episodes, reason=reason)
            return (separated, On(retired, separated))
        case KeepMembersApart() as c:
            return _keep_apart(c, state, context)
        case RecogniseMessage(message=message) | DisownMessage(message=message) if not MESSAGE_ID.fullmatch(message):
            return Refusal("message_faulty", "message: is no message's id; write it as `throughline inbox list` shows it")
        case RecogniseMessage(message=message, reason=reason):
            if refusal := _too_many(state.messages, message, MESSAGES_MAX, "message"):
                return refusal
            return (MessageRecognised(message=message, reason=reason),)
        case DisownMessage(message=message) as c:
            if refusal := _too_many(state.messages, message, MESSAGES_MAX, "message"):
                return refusal
            return (MessageDisowned(message=message, numbers=c.numbers, evidence=c.evidence, reason=c.reason),)
        case MoveStay() as c:
            return _move_stay(c, member, context)
        case ProposeContactPoint() as c:
            known = c.point in member.points or c.point in state.proposals or c.point in state.rejected
            if known or len(state.proposals) >= PROPOSALS_MAX:
                return ()
            proposed = ContactPointProposed(
                point=c.point, kind=c.kind, learned_from=c.learned_from, source=c.source, value=c.value
            )  # fmt: skip
            return (proposed,)
        case AcceptContactPoint(point=point):
            if point not in state.proposals:
                return () if point in member.points else _no_proposal()
            p = state.proposals[point]
            return (ContactPointLearned(point=point, kind=p.kind, learned_from=p.learned_from, value=p.value),)
        case RejectContactPoint(point=point, reason=reason):
            if point not in state.proposals:
                return () if point in state.rejected else _no_proposal()
            return (ContactPointProposalRejected(point=point, reason=reason),)
        case _:
            raise AssertionError(f"identity does not know {type(command).__name__}")


def _no_proposal() -> Refusal:
    return Refusal("no_such_proposal", "point: nobody proposed such a contact point; see `throughline identity list`")


def _too_many(known: Mapping[str, Any], new: str, most: int, named: str) -> Refusal | None:
    if new in known or len(known) < most:
        return None
    return Refusal("too_many", f"{named}: a member has at most {most}; somebody has to look at what the sender does")


def _learn(command: LearnRecordNumber, state: Identity) -> Decision:
    if command.key in state.numbers:
        return ()
    if refusal := _too_many(state.numbers, command.key, NUMBERS_MAX, "number"):
        return refusal
    return (RecordNumberLearned(authority=command.authority, key=command.key, number=command.number),)


def _retire(command: RetireRecordNumber, state: Identity) -> Decision:
    known = state.numbers.get(command.key)
    if command.key == command.into or (known is not None and known.into == command.into):
        return ()
    if refusal := _too_many(state.numbers, command.key, NUMBERS_MAX, "number"):
        return refusal
    retired = RecordNumberRetired(
        authority=command.authority, key=command.key, into=command.into, trigger=command.trigger, number=command.number
    )
    return (retired,)


def _replace_cin(command: ReplaceCin, member: Any, context: Context) -> Decision:
    state: Identity = member.identity
    if command.cin == member.cin:
        return ()
    if any(cin == command.cin for _, cin in (*state.former_cins, *state.older_cins)):
        return Refusal("cin_frozen", "cin: is a former one of this member; take back first what says so")
    if refusal := _cin_refused(command.cin_claim, state, context):
        return refusal
    replaced = CinReplaced(claim=command.cin_claim, cin=command.cin, former=member.cin, reason=command.reason)
    return (replaced, On(command.cin_claim, Claimed(holder=command.stream)))


def _learn_former_cin(command: LearnFormerCin, member: Any, context: Context) -> Decision:
    state: Identity = member.identity
    if command.cin == member.cin:
        return Refusal("cin_counts", "cin: is the one that counts; where the state gave the member another one, record that one")
    if command.cin in member.cins() or _holder(command.cin_claim, context) in state.linked:
        return ()
    if refusal := _cin_refused(command.cin_claim, state, context):
        return refusal
    learned = FormerCinLearned(claim=command.cin_claim, cin=command.cin, reason=command.reason)
    return (learned, On(command.cin_claim, Claimed(holder=command.stream)))


def _holder(claim: StreamId, context: Context) -> StreamId | None:
    return context[claim].state.holder if claim in context else None


def _cin_refused(claim: StreamId, state: Identity, context: Context) -> Refusal | None:
    """Why one more CIN cannot mean the member."""
    if _holder(claim, context) is not None:
        return Refusal("cin_taken", "cin: belongs to a member already; where both are one person, merge them")
    if len(state.former_cins) + len(state.older_cins) >= FORMER_CINS_MAX:
        return Refusal("too_many", f"cin: a member has at most {FORMER_CINS_MAX} former ones; somebody has to look")
    return None


def _registered(stream: StreamId, context: Context) -> bool:
    """Whether it is a member's stream, and somebody is registered there."""
    return stream.startswith(MEMBER) and bool(context[stream].state.registered)


def _last_episodes(*members: Any) -> tuple[StreamId, ...]:
    return tuple(episode for member in members for episode in member.episodes[-1:])


def _merge(command: MergeMembers, member: Any, context: Context) -> Decision:
    """A star: nobody who stands for others is retired, so that each link says by itself who goes on as whom."""
    state: Identity = member.identity
    if command.retired == command.stream:
        return Refusal("same_member", "retired: is the member who is to go on; name the other one")
    if not _registered(command.retired, context):
        return Refusal("unknown_member", "retired: nobody is registered under this id")
    other = context[command.retired].state
    if other.identity.survivor == command.stream:
        return ()
    if other.erased:
        return Refusal("erased", "retired: this person's data was erased")
    if other.identity.survivor is not None:
        return Refusal("merged_already", f"retired: goes on as {other.identity.survivor}; separate them first")
    if state.survivor is not None:
        return Refusal("merged_already", f"stream: goes on as {state.survivor}; merge into that member")
    if other.identity.absorbed:
        return Refusal("stands_for_others", "retired: stands for other members; let this one be retired instead, or separate those")
    if len(state.absorbed) >= ABSORBED_MAX:
        return Refusal("too_many", f"retired: a member stands for at most {ABSORBED_MAX} others; somebody has to look")
    merged = MembersMerged(
        survivor=command.stream, retired=command.retired, evidence=command.evidence, episodes=_last_episodes(member, other),
        reason=command.reason,
    )  # fmt: skip
    return (merged, On(command.retired, merged))


def _not_two(command: AskWhetherOne | KeepMembersApart, state: Identity, context: Context) -> Refusal | None:
    if command.other == command.stream or not _registered(command.other, context):
        return Refusal("unknown_member", "other: must be another member who is registered")
    if command.other in state.linked:
        return Refusal("merged_already", "other: is merged with this member; separate them instead")
    return None


def _ask(command: AskWhetherOne, state: Identity, context: Context) -> Decision:
    if refusal := _not_two(command, state, context):
        return refusal
    known = state.asked.get(command.other, frozenset()) | state.apart.get(command.other, frozenset())
    if known >= set(command.evidence) and (command.other in state.asked or command.other in state.apart):
        return ()
    if refusal := _too_many(state.asked, command.other, APART_MAX, "other"):
        return refusal
    here = OnePersonAsked(other=command.other, evidence=command.evidence, reason=command.reason)
    return (here, On(command.other, replace(here, other=command.stream)))


def _keep_apart(command: KeepMembersApart, state: Identity, context: Context) -> Decision:
    if refusal := _not_two(command, state, context):
        return refusal
    if command.other in state.apart and state.apart[command.other] >= set(command.evidence):
        return ()
    if refusal := _too_many(state.apart, command.other, APART_MAX, "other"):
        return refusal
    here = MembersKeptApart(other=command.other, evidence=command.evidence, reason=command.reason)
    return (here, On(command.other, replace(here, other=command.stream)))


def _move_stay(command: MoveStay, member: Any, context: Context) -> Decision:
    """Both histories keep everything that was said in them; what counts moves by facts."""
    if command.rightful == command.stream:
        return Refusal("same_member", "rightful: is the member who has the stay; name the right one")
    if not _registered(command.rightful, context):
        return Refusal("unknown_member", "rightful: nobody is registered under this id")
    to = context[command.rightful].state
    if command.stay not in member.stays:
        return () if command.stay in to.stays else Refusal("not_their_stay", "stay: is not attributed to this member")
    moved: list[Fact | On] = [StayDetached(stay=command.stay, reason=command.reason)]
    taught = [known for key in command.numbers if (known := member.identity.numbers.get(key)) is not None]
    moved += [RecordNumberForgotten(key=known.key, reason=command.reason) for known in taught]
    stay = context[command.stay].state
    told_back = {e.fact.report for e in member.deaths if isinstance(e.fact, DeathReportWithdrawn)}
    told = [e for e in member.deaths if _of_hospital(e.fact) and e.at in stay.instants()]
    wrongly = next((e for e in told if e.event_id not in told_back), None)
    if wrongly is not None:
        moved.append(DeathReportWithdrawn(report=wrongly.event_id, reason=command.reason))
    death = stay.course().death if wrongly is not None or not told else None  # not one that a supervisor found to be wrong
    if death is not None and to.death() is None:
        moved.append(On(command.rightful, DeathReported(source="hospital"), death.at))
    moved.append(On(command.rightful, StayAttributed(stay=command.stay, episode=command.episode, evidence=BY_HAND)))
    moved += visit_words.moved(member.explained, command.stay, command.rightful)
    for known in taught:
        if known.key not in to.identity.numbers:
            moved.append(On(command.rightful, RecordNumberLearned(authority=known.authority, key=known.key, number=known.number)))
    return tuple(moved)


def _of_hospital(fact: Fact) -> bool:
    return isinstance(fact, DeathReported) and fact.source == "hospital"


def reads(command: Any) -> tuple[StreamId, ...]:
    match command:
        case ReplaceCin(cin_claim=claim) | WithdrawCinReplacement(cin_claim=claim):
            return (claim,)
        case LearnFormerCin(cin_claim=claim) | ForgetFormerCin(cin_claim=claim):
            return (claim,)
        case AskWhetherOne(other=other) | KeepMembersApart(other=other):
            return (other,) if other.startswith(MEMBER) else ()
        case MergeMembers(retired=other) | SeparateMembers(retired=other):
            return (other,) if other.startswith(MEMBER) else ()
        case MoveStay(stay=stay, rightful=rightful):
            return tuple(stream for stream in (stay, rightful) if stream.startswith((MEMBER, STAY)))
        case _:
            return ()

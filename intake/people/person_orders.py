"""What follows from a hospital's word about a patient: numbers that are learned and retired, contact points that are proposed, and
deaths that are reported, and questions for a person (messages.md 1.1, A28-A31, A40, A47).

Two of our members are never made one by a message: somebody looks at both (case 17).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domain.core import StreamId
from domain.member.decider import ReportDeath
from domain.member.identity import ProposeContactPoint, RetireRecordNumber
from eventlog.gateway import Order
from intake.people.identity import IdentityKeys
from intake.people.matching import Candidate, Matched, Reason, Unmatched, agreement
from intake.people.readings import Reading, Wanted
from intake.people.recognising import Found, Recogniser, Seen
from intake.reading.persons import PersonKind, PersonNotice
from intake.store.inbox import Settlement, Status

KEPT_APART = "kept_apart"
FROM_HOSPITAL = "hospital"


def asked(
    recogniser: Recogniser, identity: IdentityKeys, seen: Seen, reading: Reading, flags: tuple[str, ...]
) -> Wanted | Settlement:
    """What a message about a person asks for; or what becomes of it where that is nothing."""
    row, said = reading.row, reading.said
    assert isinstance(said, PersonNotice)
    message = str(row.inbox_id)
    found = recogniser.recognise(seen, said.member, None, message, row.received_at.date())
    if found.erased:
        return reading.settled(Status.IGNORED, Reason.ERASED.value, flags)
    if row.released_by and row.member:
        found = Found(Matched(row.member, "by_hand"))
    if said.kind is PersonKind.DELETED and not row.released_by:
        return _deleted(recogniser, seen, reading, said, found, flags)
    prior: tuple[Candidate, ...] = ()
    if said.kind is PersonKind.MERGED:
        prior = recogniser.holders(seen, said.retired, said.retired_cins, message)
        found = _of_both(said, found, prior)
    if not isinstance(found.match, Matched):
        return _open(recogniser, seen, reading, said, found, flags)
    who = found.match.member
    strangers = [c for c in prior if who not in c.person]
    if strangers and not row.released_by:
        evidence, apart = pair_of(identity, said), seen.sight.member(who).identity.apart
        open_ = tuple(c.member for c in strangers if evidence not in apart.get(c.member, ()))
        if not open_:
            return reading.settled(Status.IGNORED, KEPT_APART, flags, proposed=(who, *(c.member for c in strangers)))
        outcome = {"pair": evidence, "survivor": who, "retired": list(open_), "trigger": said.trigger}
        return reading.settled(Status.WAITING, Reason.MERGE_OF_TWO.value, flags, proposed=(who, *open_), outcome=outcome)
    if said.retired_cins and not row.released_by and (why := _unknown_cin(seen, said)) is not None:
        return reading.settled(Status.WAITING, why.value, flags, proposed=(who,))
    orders: list[Order] = []
    for told in _orders(recogniser, identity, seen, reading, said, who, prior if not strangers else ()):
        if isinstance(told, str):
            flags = (*flags, told)
        else:
            orders.append(told)
    return Wanted(reading=reading, flags=flags, member=who, evidence=found.match.evidence, orders=tuple(orders))


def _unknown_cin(seen: Seen, said: PersonNotice) -> Reason | None:
    """Which CIN of a hospital's merge of two is nobody's: whether the state replaced it, a person finds out (messages.md 1.2)."""
    for cins, why in ((said.member.cins, Reason.NEW_CIN), (said.retired_cins, Reason.FORMER_CIN)):
        if any(seen.sight.holder(claim) is None for claim in seen.names.claims(cins)):
            return why
    return None


def pair_of(identity: IdentityKeys, said: PersonNotice) -> str:
    """The name of what a message says speaks for two members' being one: the same for the same numbers, whoever says it."""
    numbers = (*said.retired, *said.member.record_numbers[:1])
    cins = (*said.retired_cins, *said.member.cins)
    return identity.pair(*(identity.record_number(*number) for number in numbers), *map(identity.cin, cins))


def _of_both(said: PersonNotice, found: Found, prior: tuple[Candidate, ...]) -> Found:
    """Whose message a merge is: its patient's; where the patient's own numbers are new to us, whoever was known by the retired
    ones, if name and birth date do not speak against it."""
    if not isinstance(found.match, Unmatched) or not prior:
        return found
    first = prior[0]
    if any(c.member not in first.person for c in prior):
        return Found(Unmatched(Reason.TWO_MEMBERS, tuple(c.member for c in prior)), likely=found.likely)
    dates, names = agreement(said.member, first)
    if dates is False or names is False or not (dates or names):
        return Found(Unmatched(Reason.NUMBER_CONTRADICTED, (first.member,)), likely=found.likely)
    return Found(Matched(first.member, "+".join(["retired_number", *["birth_date"] * bool(dates), *["name"] * bool(names)])))


def _deleted(
    recogniser: Recogniser, seen: Seen, reading: Reading, said: PersonNotice, found: Found, flags: tuple[str, ...]
) -> Settlement:  # fmt: skip
    """A29: a person looks; nothing of ours is deleted because a hospital deleted something."""
    if isinstance(found.match, Unmatched) and not found.proposed:
        return reading.settled(Status.UNMATCHED, found.match.reason.value, flags, lookup=recogniser.lookup(seen, said.member))
    proposed = (found.match.member,) if isinstance(found.match, Matched) else found.proposed
    return reading.settled(Status.WAITING, Reason.PERSON_DELETED.value, flags, proposed=proposed, outcome=found.outcome)


def _open(
    recogniser: Recogniser, seen: Seen, reading: Reading, said: PersonNotice, found: Found, flags: tuple[str, ...]
) -> Settlement:  # fmt: skip
    assert not isinstance(found.match, Matched)
    waits = not isinstance(found.match, Unmatched) or found.match.reason in (Reason.TWO_MEMBERS, Reason.NUMBER_CONTRADICTED)
    lookup = () if waits else recogniser.lookup(seen, said.member, said.retired, said.retired_cins)
    status = Status.WAITING if waits else Status.UNMATCHED
    return reading.settled(
        status, found.match.reason.value, flags, proposed=found.proposed, lookup=lookup, outcome=found.outcome
    )  # fmt: skip


def _orders(
    recogniser: Recogniser, identity: IdentityKeys, seen: Seen, reading: Reading, said: PersonNotice, member: StreamId,
    prior: tuple[Candidate, ...],
) -> Iterator[Order | str]:  # fmt: skip
    feed = f"source:{reading.source.name}"
    told: dict[str, Any] = {
        "occurred_at": said.occurred_at, "said_at": said.said_at, "message_id": str(reading.row.inbox_id),
    }  # fmt: skip
    yield from recogniser.taught(seen, reading, said.member, member, **told)
    for authority, number in said.retired:
        into = next((n for n in said.member.record_numbers if n[0] == authority), None) or (
            said.member.record_numbers[0] if said.member.record_numbers else None
        )
        key = identity.record_number(authority, number)
        holder = next((c.member for c in prior if key.hex() in seen.sight.member(c.member).identity.numbers), member)
        yield reading.order(identity, f"retired|{holder}|{key.hex()}", RetireRecordNumber(
            stream=holder, by=feed, authority=authority, key=key.hex(), into=identity.record_number(*into).hex() if into else "",
            trigger=said.trigger, number=number, **told,
        ))  # fmt: skip
    known = seen.sight.member(member)
    if said.died_at is not None and known.death() is None:
        withdrawn_since = any(entry.recorded_at >= reading.row.received_at for entry in known.deaths)
        if not withdrawn_since:
            death = ReportDeath(stream=member, by=feed, source=FROM_HOSPITAL, **{**told, "occurred_at": said.died_at})
            yield reading.order(identity, f"death|{member}", death)
    for kind, value in said.points:
        point = identity.contact_point(member, kind.value, value)
        if point not in known.points:
            yield reading.order(identity, f"point|{member}|{point}", ProposeContactPoint(
                stream=member, by=feed, point=point, kind=kind, learned_from=FROM_HOSPITAL, source=reading.source.name, value=value,
                **told,
            ))  # fmt: skip

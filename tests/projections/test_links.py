"""What is asked about a member is answered for the person, while two members are held to be one (domain.md 7, scenario 5)."""

from __future__ import annotations

from datetime import datetime

from domain.member.identity import MembersMerged, MembersSeparated
from tests.projections.test_queries import DAY, NOON, Programme, programme

__all__ = ["programme"]


def said(programme: Programme, survivor: str, retired: str, at: datetime, *, merged: bool) -> None:
    fact = (MembersMerged if merged else MembersSeparated)(survivor=survivor, retired=retired)
    for stream in (survivor, retired):
        programme.world.pen.write(stream, fact, recorded_at=at)


def test_a_history_is_the_persons_while_they_are_merged_and_each_their_own_afterwards(programme: Programme) -> None:
    ada, double, third = programme.member("Ada", "Quill"), programme.member("Ada", "Quil"), programme.member("Tom", "Brack")
    first, second = programme.episode(ada), programme.episode(double)
    queries = programme.shown()
    alone = {m: [e.position for e in queries.timeline(member=m).items] for m in (ada, double, third)}

    said(programme, ada, double, NOON + 2 * DAY, merged=True)
    queries = programme.shown()
    for member in (ada, double):
        streams = {e.stream for e in queries.timeline(member=member).items}
        assert {ada, double, f"episode-{first}", f"episode-{second}"} <= streams
        assert {e.episode for e in queries.episodes(member=member).items} == {f"episode-{first}", f"episode-{second}"}
        assert third not in streams
    card = queries.member(ada)
    assert card is not None and len(card.episodes) == 2

    said(programme, ada, double, NOON + 4 * DAY, merged=False)
    queries = programme.shown()
    for member, before in alone.items():
        about_it = ("one person", "two people")
        now = [e for e in queries.timeline(member=member).items if not any(words in e.sentence for words in about_it)]
        assert [e.position for e in now] == before
    known = {n: {e.stream for e in queries.timeline(member=ada, known_at=NOON + n * DAY).items} for n in (1, 3, 5)}
    assert [double in known[n] for n in (1, 3, 5)] == [False, True, False]


def test_whoever_goes_on_stands_for_several(programme: Programme) -> None:
    ada, one, other = (programme.member("Ada", name) for name in ("Quill", "Quil", "Quyll"))
    said(programme, ada, one, NOON, merged=True)
    said(programme, ada, other, NOON, merged=True)
    queries = programme.shown()
    for member in (ada, one, other):
        assert {ada, one, other} <= {e.stream for e in queries.timeline(member=member).items}

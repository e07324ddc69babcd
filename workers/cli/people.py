"""Whom a command is about and who gives it: found by stream id, by its beginning, by CIN or by mail address."""

from __future__ import annotations

from domain.catalog import PROCESSES
from domain.core import SYSTEM, StreamId
from domain.episode.state import claim_on_open_episode
from domain.staff.facts import Role
from intake.people.identity import IdentityKeys
from intake.reading.identifiers import cin_of
from workers.cli import frame as f
from workers.cli.frame import Stop
from workers.composition import System

PROCESSES_OF_AN_EPISODE = tuple(PROCESSES)
KINDS = ("member", "episode", *PROCESSES_OF_AN_EPISODE, "stay", "staff", "caseload", "policy")
PREFIX_MIN = 4


def stream_of(system: System, said: str, *, kind: str | None = None) -> StreamId:
    """The stream that a person means: its id, the beginning of it, or a member's CIN. `kind`: turned into that kind where an
    episode and its processes share a number. Raises Stop."""
    cin = cin_of(said)
    if isinstance(cin, str):
        return _holder(system, cin, kind)
    prefix, _, rest = said.partition("-")
    if prefix not in KINDS or len(rest) < PREFIX_MIN:
        raise Stop(
            f"{said!r} is neither a stream id (such as member-1a2b3c4d…) nor a CIN.", field="id",
            remedy="the lists show ids: `throughline worklist`, `throughline members`", code="unknown_id",
        )  # fmt: skip
    found = _beginning_with(system, said)
    if len(found) > 1:
        raise Stop(f"{said} is the beginning of {len(found)} ids.", field="id", remedy="write more of it", code="ambiguous_id")
    if not found:
        raise Stop(f"There is no {prefix} {said}.", field="id", remedy="the lists show ids", code="unknown_id")
    return found[0] if kind in (None, prefix) else _turned(system, found[0], kind)


def _beginning_with(system: System, said: str) -> list[StreamId]:
    query = "SELECT DISTINCT stream FROM log.events WHERE stream >= %b AND stream < %b ORDER BY stream LIMIT 2"
    rows = system.log.recorder.rows(query, (said, f"{said}~"))
    return [said] if any(row[0] == said for row in rows) else [row[0] for row in rows]


def _turned(system: System, stream: StreamId, kind: str) -> StreamId:
    """From an episode to one of its processes and back; from a member to their open episode."""
    of_an_episode = ("episode", *PROCESSES_OF_AN_EPISODE)
    prefix, _, id = stream.partition("-")
    if prefix == "member" and kind in of_an_episode:
        episode = _open_episode(system, stream)
        return episode if kind == "episode" else f"{kind}-{episode.partition('-')[2]}"
    if prefix in of_an_episode:
        if kind in of_an_episode:
            return f"{kind}-{id}"
        if kind == "member":
            member = system.gateway.load(f"episode-{id}").state.member
            if member:
                return str(member)
    raise Stop(f"{stream} is no {kind}.", field="id", remedy=f"give the id of the {kind}", code="wrong_kind")


def _holder(system: System, cin: str, kind: str | None) -> StreamId:
    identity = IdentityKeys(system.settings.keys().index)
    holder = system.gateway.load(identity.cin_claim(cin)).state.holder
    if holder is None:
        raise Stop("Nobody is registered under this CIN.", field="id", remedy="import the plan's member file", code="unknown_id")
    return str(holder) if kind in (None, "member") else _turned(system, holder, kind or "member")


def _open_episode(system: System, member: StreamId) -> StreamId:
    claim = system.gateway.load(claim_on_open_episode(member)).state
    episode = claim.holder or claim.last_holder
    if episode is None:
        raise Stop("The member has no episode.", field="id", remedy="`throughline members` shows who has one", code="no_episode")
    return str(episode)


def actor(system: System, said: str | None) -> str:
    """Who gives a command: `--as`, or THROUGHLINE_AS. Where nobody leads yet, the software itself may add the first people.

    Raises Stop."""
    said = said or system.settings.throughline_as
    if said is None:
        if not any(_leads(system, stream) for stream in system.log.streams("staff")):
            return SYSTEM
        raise Stop(
            "Say who you are.", field="--as", code="actor_missing", status=f.USAGE,
            remedy="--as staff-… or --as your mail address, or set THROUGHLINE_AS; see `throughline staff list`",
        )  # fmt: skip
    return staff_of(system, said)


def staff_of(system: System, said: str) -> StreamId:
    """A member of staff by stream id, its beginning, or mail address. Raises Stop."""
    if "@" not in said:
        found = stream_of(system, said)
        if not found.startswith("staff-"):
            raise Stop(f"{said} is not on the staff.", field="--as", remedy="see `throughline staff list`", code="unknown_staff")
        return found
    wanted = said.strip().casefold()
    for stream in system.log.streams("staff"):
        if (system.gateway.load(stream).state.email or "").casefold() == wanted:
            return stream
    raise Stop(
        "Nobody on the staff has this mail address.", field="--as", remedy="see `throughline staff list`", code="unknown_staff"
    )


def _leads(system: System, staff: StreamId) -> bool:
    person = system.gateway.load(staff).state
    return person.works(system.clock.now()) and bool(person.roles & {Role.SUPERVISOR, Role.OPERATOR})

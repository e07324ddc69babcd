"""The gateway: the only writer. What it accepts, repeats, refuses and finds in conflict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.core import ProcessRef, Recorded, Refusal
from eventlog.codec import Codec
from eventlog.gateway import Accepted, Conflict, Order
from eventlog.recorder import LogRecorder
from tests.log import toy
from tests.log.conftest import NOON, Opener, World, gateway_of


def test_a_command_becomes_facts_that_can_be_read_back(world: World) -> None:
    stream = f"member-{uuid4()}"
    command_id = uuid4()
    said = NOON - timedelta(hours=2)
    outcome = world.gateway.handle(
        toy.Register(stream=stream, by="staff-1", name="Ada", said_at=said, occurred_at=said, message_id="m-1"),
        command_id=command_id, causation="c", correlation="k",
    )  # fmt: skip
    assert isinstance(outcome, Accepted)
    assert outcome.version == 1 and outcome.position > 0 and not outcome.repeated
    (recorded,) = world.log.read(stream)
    assert recorded == outcome.facts[0]
    assert recorded.fact == toy.Registered(name="Ada")
    assert (recorded.occurred_at, recorded.said_at, recorded.recorded_at) == (said, said, NOON)
    assert (recorded.actor, recorded.message_id) == ("staff-1", "m-1")
    (stored,) = world.log.read_stored(stream)
    assert (stored.name, stored.schema_version) == ("toy.registered", 1)
    assert (stored.meta.command_id, stored.meta.causation, stored.meta.correlation) == (str(command_id), "c", "k")


def test_already_so_is_accepted_without_facts(world: World) -> None:
    member = world.member()
    again = world.do(toy.GiveConsent(stream=member, by="system"))
    assert again == Accepted(member, 2)


def test_a_refusal_is_a_value_and_is_not_remembered(world: World) -> None:
    member = world.member(consents=False)
    letter, command_id = toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member, text="hello"), uuid4()
    assert isinstance(world.gateway.handle(letter, command_id=command_id), Refusal)
    world.do(toy.GiveConsent(stream=member, by="system"))
    assert isinstance(world.gateway.handle(letter, command_id=command_id), Accepted)


def test_the_same_command_id_gives_the_first_result(world: World) -> None:
    member, command_id = world.member(), uuid4()
    letter = toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member, text="hello", times=2)
    first = world.gateway.handle(letter, command_id=command_id)
    world.do(toy.WithdrawConsent(stream=member, by="system"))
    world.clock.advance(timedelta(days=3))
    again = world.gateway.handle(letter, command_id=command_id)
    assert isinstance(first, Accepted) and isinstance(again, Accepted)
    assert again.repeated and again.facts == first.facts and again.version == first.version and again.position == first.position
    assert len(world.log.read(letter.stream)) == 2


def test_an_empty_first_result_is_remembered_too(world: World) -> None:
    """A doubled "yes" that comes again after a "no" must not consent anew."""
    member, command_id = world.member(), uuid4()
    assert world.gateway.handle(toy.GiveConsent(stream=member, by="system"), command_id=command_id) == Accepted(member, 2)
    world.do(toy.WithdrawConsent(stream=member, by="system"))
    again = world.gateway.handle(toy.GiveConsent(stream=member, by="system"), command_id=command_id)
    assert isinstance(again, Accepted) and again.repeated and not again.facts
    assert "contact" not in world.gateway.load(member).state.scopes


def test_the_same_command_id_for_another_command_is_refused(world: World) -> None:
    member, command_id = world.member(consents=False), uuid4()
    world.gateway.handle(toy.GiveConsent(stream=member, by="system"), command_id=command_id)
    for other in (
        toy.GiveConsent(stream=member, by="system", scope="services"),
        toy.GiveConsent(stream=f"member-{uuid4()}", by="system"),
        toy.WithdrawConsent(stream=member, by="system"),
    ):
        refusal = world.gateway.handle(other, command_id=command_id)
        assert isinstance(refusal, Refusal) and refusal.code == "command-id-reused"
    later = toy.GiveConsent(stream=member, by="system", occurred_at=NOON + timedelta(days=1), said_at=NOON, message_id="other")
    assert isinstance(world.gateway.handle(later, command_id=command_id), Accepted), "time and message are not what a command says"


def test_an_expected_version_that_has_passed_is_a_conflict(world: World) -> None:
    member = world.member()
    outcome = world.gateway.handle(toy.WithdrawConsent(stream=member, by="system"), command_id=uuid4(), expected_version=1)
    assert outcome == Conflict(member, expected=1, actual=2)
    assert world.do(toy.WithdrawConsent(stream=member, by="system"), expected_version=2).version == 3


def test_a_claim_is_written_with_the_decision_and_holds(world: World) -> None:
    claim = "claim-00ff"
    first, second = f"member-{uuid4()}", f"member-{uuid4()}"
    assert len(world.do(toy.Register(stream=first, by="system", claim=claim)).facts) == 2
    refusal = world.gateway.handle(toy.Register(stream=second, by="system", claim=claim), command_id=uuid4())
    assert isinstance(refusal, Refusal) and refusal.code == "claimed"
    assert world.gateway.load(claim).state.holder == first


def test_several_commands_are_carried_out_as_one(world: World) -> None:
    member, outreach = f"member-{uuid4()}", f"outreach-{uuid4()}"
    orders = [
        Order(command=toy.Register(stream=member, by="system", name="Ada"), command_id=uuid4()),
        Order(command=toy.GiveConsent(stream=member, by="system"), command_id=uuid4()),
        Order(command=toy.SendLetter(stream=outreach, by="system", member=member, text="hello"), command_id=uuid4()),
    ]
    done = world.gateway.handle_many(orders)
    assert isinstance(done, tuple)
    assert [a.version for a in done] == [1, 2, 1], "each saw what the one before it decided"
    assert [f.position for a in done for f in a.facts] == sorted(f.position for a in done for f in a.facts)
    again = world.gateway.handle_many(orders)
    assert isinstance(again, tuple) and all(a.repeated for a in again) and [a.facts for a in again] == [a.facts for a in done]


def test_one_refusal_and_nothing_of_them_is_recorded(world: World) -> None:
    member, before = f"member-{uuid4()}", world.log.watermark()
    orders = [
        Order(command=toy.Register(stream=member, by="system", name="Ada"), command_id=uuid4()),
        Order(command=toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member), command_id=uuid4()),
    ]
    assert isinstance(world.gateway.handle_many(orders), Refusal)
    assert world.log.read(member) == () and world.log.watermark() == before


def test_recorded_at_never_goes_back_in_a_stream(world: World) -> None:
    member = world.member()
    world.clock.set(NOON - timedelta(hours=1))
    world.do(toy.WithdrawConsent(stream=member, by="system"))
    assert [r.recorded_at for r in world.log.read(member)] == [NOON] * 3


def test_the_later_of_both_clocks_counts(world: World) -> None:
    member = world.member()
    ahead = NOON + timedelta(days=10)
    done = world.do(toy.WithdrawConsent(stream=member, by="system"), now=ahead)
    assert done.facts[0].recorded_at == done.facts[0].occurred_at == ahead


def test_a_process_is_loaded_with_what_its_plan_reads(world: World) -> None:
    member, outreach = world.member(), f"outreach-{uuid4()}"
    world.do(toy.SendLetter(stream=outreach, by="system", member=member, text="hello"))
    loaded = world.gateway.load_process(ProcessRef.of(outreach))
    assert loaded.state.letters == 1 and loaded.context[member].state.registered
    assert loaded.versions == {outreach: 1, member: 2}
    assert loaded.watermark == world.log.watermark()


def test_facts_decided_elsewhere_are_recorded_under_the_versions_that_were_read(world: World) -> None:
    member, outreach, command_id = world.member(), f"outreach-{uuid4()}", uuid4()
    world.do(toy.SendLetter(stream=outreach, by="system", member=member, text="hello"))
    loaded = world.gateway.load_process(ProcessRef.of(outreach))
    facts = [toy.LetterSent(member=member, tone=toy.Tone.FORMAL, enclosures=(toy.Enclosure("map", 2),))]
    begun = world.gateway.append_facts(outreach, facts, command_id=command_id, by="system", versions=loaded.versions)
    assert isinstance(begun, Accepted) and begun.version == 2
    again = world.gateway.append_facts(outreach, facts, command_id=command_id, by="system", versions=loaded.versions)
    assert isinstance(again, Accepted) and again.repeated and again.facts == begun.facts
    world.do(toy.WithdrawConsent(stream=member, by="system"))
    stale = world.gateway.append_facts(
        outreach, facts, command_id=uuid4(), by="system", versions={outreach: 2, member: loaded.versions[member]}
    )
    assert stale == Conflict(member, expected=2, actual=3)


def test_a_command_costs_two_round_trips(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for the command memory, the streams, what they read and the policies; one to append."""
    member = world.member()
    campaign = f"outreach-{uuid4()}"
    world.do(toy.SendLetter(stream=campaign, by="system", member=member, text="first"))
    trips = 0
    again_while_away = LogRecorder.again_while_away

    def counted(self: LogRecorder, act: Callable[[Any], Any]) -> Any:
        nonlocal trips
        trips += 1
        return again_while_away(self, act)

    monkeypatch.setattr(LogRecorder, "again_while_away", counted)
    world.do(toy.SendLetter(stream=campaign, by="system", member=member, text="second"))
    assert trips == 2
    trips = 0
    assert world.gateway.load_process(ProcessRef.of(campaign)).state.letters == 2
    assert trips == 2, "the watermark, then everything"


def test_what_an_append_led_to_need_not_be_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    member, campaign = f"member-{uuid4()}", f"outreach-{uuid4()}"
    read: list[Any] = []
    decode_all = Codec.decode_all

    def counted(self: Codec, rows: Sequence[Sequence[Any]]) -> list[Recorded]:
        read.extend(rows)
        return decode_all(self, rows)

    monkeypatch.setattr(Codec, "decode_all", counted)
    world.do(toy.Register(stream=member, by="system", name="Ada", claim="claim-0aff"))
    world.do(toy.GiveConsent(stream=member, by="system"))
    world.do(toy.SendLetter(stream=campaign, by="system", member=member, text="hello"))
    streams = (member, campaign, "claim-0aff")
    kept = world.gateway.load_many(streams)
    assert not read, "no fact of its own was read back"
    world.gateway.forget()
    assert world.gateway.load_many(streams) == kept and len(read) == 4, "the log says the same"


def test_what_somebody_else_appended_is_seen_on_top_of_what_was_kept(world: World, another: Opener) -> None:
    member = world.member()
    elsewhere = gateway_of(another(), world.clock)
    said = elsewhere.handle(toy.WithdrawConsent(stream=member, by="staff-2"), command_id=uuid4())
    assert isinstance(said, Accepted)
    kept = world.gateway.load(member)
    assert kept.version == said.version == 3
    world.gateway.forget()
    assert world.gateway.load(member) == kept

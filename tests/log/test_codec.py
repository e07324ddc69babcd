"""The codec: bytes as they are stored, what may be large, what must not be guessed; and traces and erasures around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain.core import Fact, personal
from eventlog import erasure
from eventlog.codec import BODY_BYTES_MAX, Codec, UnknownFact, spliced
from eventlog.gateway import whose
from tests.golden.files import NoKeys
from tests.log import toy
from tests.log.conftest import NOON, Opener, World, gateway_of
from workers.telemetry.traces import WantedSpans


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataErased(Fact):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyPersonal(Fact):
    name: str | None = personal()


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    version: int
    type: type[Fact]


def test_bodies_are_json_in_the_order_of_the_class(world: World) -> None:
    member, stream = world.member(), f"outreach-{uuid4()}"
    fact = toy.LetterSent(
        member=member, tone=toy.Tone.FORMAL, due_at=NOON + timedelta(microseconds=1), enclosures=(toy.Enclosure("a", 2),)
    )
    world.gateway.append_facts(stream, [fact], command_id=uuid4(), by="system", versions={stream: 0})
    with psycopg.connect(world.url) as conn:
        row = conn.execute("SELECT convert_from(body, 'UTF8'), sealed FROM log.events WHERE stream = %s", (stream,)).fetchone()
    assert row == (
        f'{{"member":"{member}","tone":"formal","due_at":"2026-11-02T20:00:00.000001Z",'
        '"enclosures":[{"title":"a","pages":2}],"policy":""}',
        None,
    )
    assert world.log.read(stream)[0].fact == fact


@pytest.mark.parametrize("text", ["", "\u0000 nul", "\U0001f9e1", "a\nb", '"\\', "\u2028"])
def test_any_text_survives(world: World, text: str) -> None:
    """jsonb would refuse the first of them and reorder the rest: bytes keep everything."""
    member = world.member(text)
    world.do(toy.GiveConsent(stream=member, by="system", scope=text))
    assert world.log.read(member)[0].fact.name == text and world.log.read(member, after=2)[0].fact.scope == text


def test_a_body_of_nothing_but_personal_fields_is_joined_again() -> None:
    codec = Codec([Entry("toy.only", 1, OnlyPersonal)], NoKeys())
    body, secret = codec.parts(OnlyPersonal(name="Ada"))
    assert (body, secret) == (b"{}", b'{"name":"Ada"}')
    assert codec.assembled("toy.only", 1, body, secret) == OnlyPersonal(name="Ada")
    assert codec.parts(OnlyPersonal()) == (b"{}", None)
    assert spliced(b'{"a":1}', b'{"b":2}') == b'{"a":1,"b":2}'


def test_facts_of_a_newer_program_stop_the_reader(world: World, another: Opener) -> None:
    member = world.member()
    fewer = another(facts=[e for e in toy.FACTS if e.name != "toy.consent-given"])
    with pytest.raises(UnknownFact, match=r"position \d+ .*toy\.consent-given v1"):
        fewer.log.read(member)
    with pytest.raises(UnknownFact):
        fewer.log.after(0)


def test_a_body_that_does_not_fit_its_class_stops_the_reader_and_quotes_nothing(world: World) -> None:
    member = world.member("Wilhelmina Planted")
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER events_are_immutable")
        owner.execute('UPDATE log.events SET body = \'{"scope":["Planted"]}\' WHERE version = 2 AND stream = %s', (member,))
    with pytest.raises(UnknownFact) as raised:
        world.log.read(member)
    assert "Planted" not in str(raised.value) and raised.value.__cause__ is None


def test_what_is_too_large_for_a_fact_is_a_defect(world: World) -> None:
    member = world.member()
    with pytest.raises(AssertionError, match="too large"):
        world.do(toy.GiveConsent(stream=member, by="system", scope="x" * BODY_BYTES_MAX))


def test_one_class_one_name() -> None:
    with pytest.raises(AssertionError, match="twice"):
        Codec([Entry("toy.a", 1, OnlyPersonal), Entry("toy.b", 1, OnlyPersonal)], NoKeys())


def test_whose_key_seals_a_fact() -> None:
    letter = toy.LetterSent(member="member-1", text="t")
    assert whose("member-2", letter, None) == "member-2" and whose("staff-2", letter, None) == "staff-2"
    assert whose("outreach-2", letter, None) == "member-1"
    assert whose("outreach-2", OnlyPersonal(name="n"), toy.Campaign("member-3")) == "member-3"
    assert whose("outreach-2", OnlyPersonal(name="n"), toy.Campaign()) is None


def test_personal_words_about_nobody_are_a_defect(world: World, another: Opener) -> None:
    opened = another(facts=[*toy.FACTS, Entry("toy.only", 1, OnlyPersonal)])
    gateway = gateway_of(opened, world.clock)
    with pytest.raises(AssertionError, match="names a member"):
        gateway.append_facts("outreach-1", [OnlyPersonal(name="n")], command_id=uuid4(), by="system", versions={"outreach-1": 0})


# -- erasure


def test_an_erasure_is_finished_also_after_a_crash_in_between(world: World, another: Opener) -> None:
    opened = another(facts=[*toy.FACTS, Entry(erasure.ERASING_FACT, 1, PersonalDataErased)])
    gateway = gateway_of(opened, world.clock)
    member, other = world.member("Wilhelmina Planted"), world.member("Ada")
    gateway.append_facts(member, [PersonalDataErased(reason="asked")], command_id=uuid4(), by="system", versions={member: 2})
    assert opened.log.read(member)[0].fact.name == "Wilhelmina Planted", "the process died here"
    assert erasure.finish(opened.log, opened.keys, forget=gateway.forget) == (member,)
    assert erasure.finish(opened.log, opened.keys) == ()
    assert opened.log.read(member)[0].fact.name is None and opened.log.read(other)[0].fact.name == "Ada"
    assert gateway.load(member).state.name is None


def test_an_erasure_is_carried_out_with_the_fact(world: World, another: Opener) -> None:
    opened = another(facts=[*toy.FACTS, Entry(erasure.ERASING_FACT, 1, PersonalDataErased)])
    gateway = gateway_of(opened, world.clock, destroy_key=opened.keys.destroy)
    member = world.member("Wilhelmina Planted")
    assert gateway.load(member).state.name == "Wilhelmina Planted"
    gateway.append_facts(member, [PersonalDataErased(reason="asked")], command_id=uuid4(), by="system", versions={member: 2})
    assert gateway.load(member).state.name is None
    assert erasure.finish(opened.log, opened.keys) == ()


# -- traces


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = otel.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        otel.set_tracer_provider(provider)
    if isinstance(provider.sampler, WantedSpans):  # another test of this process set telemetry up without anybody who exports
        provider.sampler.all = True
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def test_a_trace_goes_on_through_the_log(world: World, spans: InMemorySpanExporter) -> None:
    spans.clear()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    member = world.member(consents=False)
    world.do(toy.GiveConsent(stream=member, by="system"), trace=f"00-{trace_id}-00f067aa0ba902b7-01")
    stored = world.log.read_stored(member)[-1]
    assert stored.meta.trace is not None and stored.meta.trace.split("-")[1] == trace_id
    ours = [s for s in spans.get_finished_spans() if s.context is not None and s.context.trace_id == int(trace_id, 16)]
    assert {s.name for s in ours} == {"gateway.handle", "log.append"}
    handle = next(s for s in ours if s.name == "gateway.handle")
    assert handle.attributes is not None and handle.attributes["throughline.outcome"] == "Accepted"
    assert handle.attributes["throughline.stream"] == member


def test_spans_say_nothing_personal(world: World, spans: InMemorySpanExporter) -> None:
    spans.clear()
    world.member("Wilhelmina Planted")
    finished = spans.get_finished_spans()
    assert finished and "Planted" not in "".join(s.to_json() for s in finished)


def test_without_a_recorded_span_the_trace_that_came_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.gateway.current_traceparent", lambda: None)
    member = world.member(consents=False)
    came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    world.do(toy.GiveConsent(stream=member, by="system"), trace=came)
    assert world.log.read_stored(member)[-1].meta.trace == came

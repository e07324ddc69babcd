"""What the composition root makes of settings: senders, mailboxes, the clock, the build's name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.channels.email import Smtp
from activities.channels.folder import Letters, Outbox
from activities.channels.webhook import Webhook
from eventlog.clock import OffsetClock, SystemClock
from workers.clock import StoredOffset, clock_of
from workers.composition import KINDS, channels_of, keys_address, webhook_secret
from workers.programme import the_programme
from workers.settings import Settings
from workers.temporal_worker import build_id


def test_without_settings_everything_goes_to_an_outbox_that_one_can_read(tmp_path: Path) -> None:
    channels = channels_of(Settings(throughline_home=tmp_path))
    assert set(channels) == set(KINDS) and all(isinstance(channel, Outbox) for channel in channels.values())


def test_real_senders_take_the_place_of_the_outbox_one_by_one(tmp_path: Path) -> None:
    settings = Settings(
        throughline_home=tmp_path,
        throughline_smtp_host="mail.example.org",
        throughline_message_webhook="https://provider.example.org/messages",
        throughline_webhook_secret=SecretStr("sixteen characters"),
        throughline_letters_folder=tmp_path / "letters",
    )
    channels = channels_of(settings)
    assert isinstance(channels["email"], Smtp) and channels["alert"] == channels["email"]
    assert isinstance(channels["text"], Webhook) and channels["call"] == channels["text"]
    assert isinstance(channels["letter"], Letters)
    assert webhook_secret(settings) == b"sixteen characters"
    assert "sixteen characters" not in repr(channels)


def test_the_webhook_has_a_secret_even_where_none_was_given(tmp_path: Path) -> None:
    settings = Settings(throughline_home=tmp_path)
    assert webhook_secret(settings) == webhook_secret(settings) != settings.keys().index
    assert len(webhook_secret(settings)) == 32


def test_the_clock_moves_ahead_only_and_for_every_process_at_once(tmp_path: Path) -> None:
    offset, clock = StoredOffset(tmp_path), clock_of(tmp_path, movable=True)
    before = clock.now()
    assert offset.advance(timedelta(days=3)) == offset() == timedelta(days=3)
    assert timedelta(days=3) <= clock.now() - before < timedelta(days=3, minutes=1)
    with pytest.raises(AssertionError):
        offset.advance(-timedelta(seconds=1))
    offset.clear()
    assert offset() == timedelta()
    assert isinstance(clock, OffsetClock) and isinstance(clock_of(tmp_path, movable=False), SystemClock)


def test_every_process_of_the_programme_has_its_workflow() -> None:
    programme = the_programme()
    assert {workflow.__name__.lower() for workflow in programme.workflows} == set(programme.processes)


def test_the_build_has_a_name_that_temporal_takes() -> None:
    assert build_id() == build_id() and "." not in build_id().split("-")[-1]
    assert keys_address("postgresql://u:p@h/log?sslmode=require") == "postgresql://u:p@h/log_keys?sslmode=require"

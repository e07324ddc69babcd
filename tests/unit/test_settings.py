"""Settings come from the environment; what is wrong with one is said without its value."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from workers.settings import Settings, SettingsError, load_settings


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_development_makes_its_keys_once_and_only_the_owner_reads_them(bare: Path) -> None:
    first = load_settings().keys()
    assert (len(first.master), len(first.index)) == (32, 32)
    assert first.master != first.index
    assert load_settings().keys() == first
    for file in load_settings().key_files():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in bare.iterdir()) == ["index.key", "master.key"]


def test_a_given_key_wins_and_is_never_shown(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.b64encode(b"k" * 32).decode()
    monkeypatch.setenv("THROUGHLINE_MASTER_KEY", text)
    settings = load_settings()
    assert settings.keys().master == b"k" * 32
    assert text not in repr(settings)
    assert "kkk" not in repr(settings.keys())


@pytest.mark.parametrize("wrong", ["short", "!!!", base64.b64encode(b"31 bytes are one too few for it").decode()])
def test_a_wrong_key_is_named_but_not_shown(bare: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("THROUGHLINE_INDEX_KEY", wrong)
    with pytest.raises(SettingsError, match="THROUGHLINE_INDEX_KEY") as caught:
        load_settings().keys()
    assert wrong not in str(caught.value)


def test_production_makes_nothing_up(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHLINE_MODE", "production")
    with pytest.raises(SettingsError, match="DATABASE_URL, KEYS_DATABASE_URL, TEMPORAL_ADDRESS"):
        load_settings()
    for name in ("DATABASE_URL", "KEYS_DATABASE_URL", "TEMPORAL_ADDRESS"):
        monkeypatch.setenv(name, "given")
    with pytest.raises(SettingsError, match="THROUGHLINE_MASTER_KEY"):
        load_settings().keys()
    assert not bare.exists()


def test_a_wrong_port_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHLINE_API_PORT", "seventy")
    with pytest.raises(SettingsError, match="THROUGHLINE_API_PORT"):
        load_settings()


def test_a_secret_may_be_a_file(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://somewhere/else")
    monkeypatch.setattr("workers.settings.SECRETS_FOLDER", tmp_path)
    assert load_settings().database_url == "postgresql://somewhere/else"


def test_connections_may_idle_for_days_unless_somebody_says_how_long(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().throughline_hl7_idle_seconds is None
    monkeypatch.setenv("THROUGHLINE_HL7_IDLE_SECONDS", "900")
    assert load_settings().throughline_hl7_idle_seconds == 900
    monkeypatch.setenv("THROUGHLINE_HL7_IDLE_SECONDS", "0")
    with pytest.raises(SettingsError, match="THROUGHLINE_HL7_IDLE_SECONDS"):
        load_settings()

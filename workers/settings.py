"""What a process is told from outside: addresses, folders, keys. Read once at the start, from the environment.

A value may also lie in a file of `/run/secrets` with the variable's name in small letters, as container runtimes hand over secrets.
Nothing else in the project reads the environment.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from intake.reading.faults import fault_of, path_of

KEY_BYTES = 32
KEY_MODE = 0o600
SECRETS_FOLDER = Path("/run/secrets")
HOME_NAME = ".local/share/throughline"

MASTER_KEY = "THROUGHLINE_MASTER_KEY"
INDEX_KEY = "THROUGHLINE_INDEX_KEY"


class SettingsError(Exception):
    """A setting is missing or wrong. The text names it and the remedy, never its value."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys from outside, 32 bytes each: `master` wraps every member's own key, `index` is for HMACs of identifiers."""

    master: bytes
    index: bytes

    def __repr__(self) -> str:
        return "Keys(…)"


class Settings(BaseSettings):
    """Every setting, by the name of its environment variable in small letters."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True)

    database_url: str | None = None
    """PostgreSQL for log, inbox and read models; none: a server of our own."""

    keys_database_url: str | None = None
    """PostgreSQL for the wrapped member keys; none: the same server, database name + `_keys`."""

    temporal_address: str | None = None
    """host:port of Temporal's frontend; none: a server of our own."""

    temporal_namespace: str = "throughline"

    throughline_home: Path = Field(default_factory=lambda: Path.home() / HOME_NAME)
    """Where our own servers keep their data, and development its keys and its outbox."""

    throughline_mode: Literal["development", "production"] = "development"
    """In production nothing is made up: addresses and keys must be given."""

    throughline_host: str = "127.0.0.1"
    """Where API and HL7 listener bind. Anything but the loopback is a decision: put TLS in front of it."""

    throughline_api_port: int = Field(default=8470, ge=1, le=65_535)
    throughline_hl7_port: int = Field(default=2575, ge=1, le=65_535)
    throughline_public_url: str = ""
    """Where senders reach the API from outside, such as https://hl7.programme.example; none: where the API binds. Never what a
    request says: signed assertions are made for this address."""

    throughline_hl7_certificate: Path | None = None
    throughline_hl7_certificate_key: Path | None = None
    throughline_hl7_client_authorities: Path | None = None
    """TLS of the HL7 listener (PEM): its certificate, the key to it, and who signs the certificates that hospitals must present."""

    throughline_hl7_loopback_port: int | None = Field(default=None, ge=1, le=65_535)
    """With TLS: a second port of the HL7 listener, without TLS, for senders on this machine; none: there is none."""

    throughline_hl7_plain: bool = False
    """Let the HL7 listener bind beyond the loopback without TLS: only where something in front of it has the certificates."""

    throughline_hl7_idle_seconds: float | None = Field(default=None, gt=0)
    """After so long without a message a sender's connection is ended; none: senders keep theirs open for days."""

    throughline_hl7_shared: bool = False
    """Let several listeners share the port: the system deals out connections among them. For one machine with more cores."""

    throughline_intake: Literal["both", "listen", "apply"] = "both"
    """What `throughline run intake` does: listen and apply what was stored, or one of the two. Any number may run at a time."""

    throughline_intake_threads: int = Field(default=2, ge=1, le=16)
    """Threads that apply messages; a process uses one core, whatever their number."""

    throughline_temporal_port: int | None = Field(default=None, ge=1, le=65_535)
    """The port of a Temporal server of our own; none: the one it had, or a free one."""

    throughline_temporal_ui_port: int = Field(default=8471, ge=1, le=65_535)

    throughline_sources: Path | None = None
    """The registry of hospitals that may send messages, a TOML file; none: the demo's own hospitals."""

    throughline_profiles: Path | None = None
    """A folder with profiles of plans' files, beside those that come along; of one that is in both, this one counts."""

    throughline_as: str | None = None
    """Who uses the command line: a staff stream id, or that person's mail address."""

    otel_exporter_otlp_endpoint: str | None = None
    """Where traces and metrics are sent; none: nowhere."""

    throughline_smtp_host: str | None = None
    """The mail server for e-mail to members and alerts to staff; none: a readable outbox in the home folder."""

    throughline_smtp_port: int = Field(default=587, ge=1, le=65_535)
    throughline_smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    throughline_smtp_user: str = ""
    throughline_smtp_password: SecretStr | None = None
    throughline_mail_sender: str = "care-team@localhost"
    """The address that our mails come from."""

    throughline_message_webhook: str | None = None
    """The provider's address for texts and voice calls; none: the outbox."""

    throughline_webhook_secret: SecretStr | None = None
    """Signs messages to the provider and what it reports back, at least 16 characters; none: the index key does."""

    throughline_letters_folder: Path | None = None
    """Where the print room takes letters from; none: the outbox."""

    throughline_role_mailboxes: str = ""
    """Mailboxes of roles, for alerts to nobody in particular: `supervisor=a@b,care_manager=c@d`."""

    throughline_organisation: str = "Your care team"
    """How messages are signed. Nothing that names a programme or an illness."""

    throughline_callback: str = "the number on your health plan card"
    """Where messages ask members to call."""

    throughline_master_key: SecretStr | None = None
    throughline_index_key: SecretStr | None = None

    def keys(self) -> Keys:
        """The keys given, else those of the home folder, which development makes once. Raises SettingsError."""
        return Keys(
            master=self._key(MASTER_KEY, self.throughline_master_key, "master.key"),
            index=self._key(INDEX_KEY, self.throughline_index_key, "index.key"),
        )

    def public_url(self) -> str:
        """Where senders reach the API."""
        return self.throughline_public_url or f"http://{self.throughline_host}:{self.throughline_api_port}"

    def key_files(self) -> tuple[Path, Path]:
        """Where development keeps its keys; they need not be there."""
        return self.throughline_home / "master.key", self.throughline_home / "index.key"

    def _key(self, name: str, given: SecretStr | None, file_name: str) -> bytes:
        if given is not None:
            return decode_key(name, given.get_secret_value())
        if self.throughline_mode == "production":
            raise SettingsError(f"{name} is not set. Production needs the key that sealed the log: base64 of {KEY_BYTES} bytes.")
        file = self.throughline_home / file_name
        if not file.exists():
            _write_key(file)
        return decode_key(str(file), file.read_text())


def load_settings() -> Settings:
    """Read the environment. Raises SettingsError that names the variable and what is wrong with it, not its value."""
    try:
        settings = Settings(_secrets_dir=SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None)
    except ValidationError as error:
        faults = "; ".join(f"{path_of(fault['loc']).upper()} {fault_of(fault)}" for fault in error.errors(include_input=False))
        raise SettingsError(f"Wrong in the environment: {faults}") from None
    if settings.throughline_mode == "production":
        missing = [
            name.upper() for name in ("database_url", "keys_database_url", "temporal_address") if not getattr(settings, name)
        ]
        if missing:
            raise SettingsError(f"Not set, though THROUGHLINE_MODE is production: {', '.join(missing)}")
    return settings


def decode_key(name: str, text: str) -> bytes:
    """A key from its base64. Raises SettingsError."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"{name} is not the base64 of {KEY_BYTES} bytes. Make one with: "
            'python -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())"'
        )
    return key


def _write_key(file: Path) -> None:
    """Whoever comes first writes it, whole: a second process reads what the first one wrote."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE), "w") as written:
        written.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
    try:
        os.link(unfinished, file)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()

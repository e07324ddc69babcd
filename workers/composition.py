"""The composition root: from settings to everything that a process needs. API, command line and workers all begin here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from temporalio.client import Client

from activities import process_states
from activities.addressing import Addressing
from activities.advance import Advance
from activities.channels.email import Smtp
from activities.channels.folder import Letters, Outbox
from activities.channels.port import Channel
from activities.channels.templates import Letterhead
from activities.channels.webhook import Webhook
from activities.deliver import Deliver
from activities.delivery import Delivery
from activities.process_states import Pool, ProcessStates
from activities.rounds import Rounds
from activities.watch import APART_MAX, Watch
from eventlog import database, opening
from eventlog.clock import Clock
from eventlog.committer import Committer
from eventlog.gateway import Gateway
from eventlog.log import Log
from eventlog.opening import OpenLog, PolicyShelf
from workers import router_store
from workers.clock import clock_of
from workers.payloads import CONVERTER
from workers.programme import Programme, the_programme
from workers.router_store import RouterStore
from workers.settings import Settings
from workers.telemetry.temporal import TraceInterceptor

KINDS = ("text", "call", "email", "letter", "alert")
"""What a request may ask to be sent (domain.requests.MessageRequested)."""

POOL_MAX = 16
"""Connections for the tables beside the log; at least as many as activities run at once (engine.md, rule 31)."""


@dataclass(frozen=True, slots=True)
class System:
    """The log and all that stands around it, in one process. Close it, or use it in a `with`."""

    settings: Settings
    programme: Programme
    opened: OpenLog
    pool: Pool
    clock: Clock
    gateway: Gateway
    channels: Mapping[str, Channel]

    @property
    def log(self) -> Log:
        return self.opened.log

    @property
    def movable(self) -> bool:
        """Whether the clock may be moved: in development and the demo."""
        return self.settings.throughline_mode != "production"

    def router_store(self) -> RouterStore:
        return RouterStore(self.pool)

    def activities(self, build: str) -> tuple[Advance, Deliver]:
        """The two activities of the shell, wired."""
        watch = Watch(self.clock, None if self.movable else APART_MAX)
        rounds, delivery = self.carriers()
        return Advance(rounds, ProcessStates(self.pool, code=build), watch), Deliver(delivery, watch)

    def carriers(self) -> tuple[Rounds, Delivery]:
        """What carries out a process's steps and its requests, for the activities and for a programme on a virtual clock."""
        rounds = Rounds(self.gateway, self.programme.processes)
        addressing = Addressing(self.gateway, _role_mailboxes(self.settings), _letterhead(self.settings))
        return rounds, Delivery(self.gateway, rounds, addressing, self.channels)

    def close(self) -> None:
        self.pool.close()
        self.opened.close()

    def __enter__(self) -> System:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def prepare(settings: Settings) -> None:
    """Create or complete the tables of log, keys, process state and router. Safe to repeat; the databases must exist."""
    url, keys_url = addresses(settings)
    opening.create(url, keys_url)
    with database.open_pool(url, size_max=2, name="prepare") as pool:
        process_states.create_tables(pool)
        router_store.create_tables(pool)


def open_system(
    settings: Settings,
    *,
    programme: Programme | None = None,
    clock: Clock | None = None,
    channels: Mapping[str, Channel] | None = None,
    pool_max: int = POOL_MAX,
) -> System:
    """Everything for one process, on databases that `prepare` has set up. `settings` must hold the addresses (see `addresses`)."""
    url, keys_url = addresses(settings)
    programme = programme or the_programme()
    keys = settings.keys()
    clock = clock or clock_of(settings.throughline_home, movable=settings.throughline_mode != "production")
    opened = opening.open_log(url, keys_url, master_key=keys.master, facts=programme.facts, pool_max=pool_max)
    gateway = Gateway(
        opened.log,
        clock=clock,
        deciders=programme.deciders,
        processes=programme.processes,
        fingerprint_key=keys.index,
        books=PolicyShelf(opened.log),
        tags=programme.tags,
        appender=Committer(opened.log.recorder),
        forget_key=opened.keys.forget,
        destroy_key=opened.keys.destroy,
    )
    pool = database.open_pool(url, size_max=pool_max, name="beside-the-log")
    return System(settings, programme, opened, pool, clock, gateway, channels or channels_of(settings))


def addresses(settings: Settings) -> tuple[str, str]:
    """The addresses of the log's database and of the keys', by default `<name>_keys` on the same server."""
    assert settings.database_url, "whoever starts the ground puts its address into the settings"
    return settings.database_url, settings.keys_database_url or keys_address(settings.database_url)


def keys_address(url: str) -> str:
    """The default address of the keys' database."""
    head, mark, query = url.partition("?")
    return f"{head}_keys{mark}{query}"


async def connect_temporal(settings: Settings, *, lazy: bool = True) -> Client:
    """A client of Temporal. A lazy one connects when it is first used, so that an outage does not keep a process from starting;
    workers cannot use it. Raises RuntimeError where an eager one cannot connect."""
    assert settings.temporal_address, "whoever starts the ground puts its address into the settings"
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=CONVERTER,
        interceptors=[TraceInterceptor()],
        lazy=lazy,
    )


def channels_of(settings: Settings) -> dict[str, Channel]:
    """A sender for every kind of message: the real ones where they are set up, else an outbox folder that one can read."""
    outbox = Outbox(settings.throughline_home / "outbox")
    channels: dict[str, Channel] = dict.fromkeys(KINDS, outbox)
    if settings.throughline_letters_folder is not None:
        channels["letter"] = Letters(settings.throughline_letters_folder)
    if settings.throughline_smtp_host is not None:
        channels["email"] = channels["alert"] = Smtp(
            host=settings.throughline_smtp_host,
            port=settings.throughline_smtp_port,
            security=settings.throughline_smtp_security,
            sender=settings.throughline_mail_sender,
            user=settings.throughline_smtp_user,
            password=settings.throughline_smtp_password.get_secret_value() if settings.throughline_smtp_password else "",
        )
    if settings.throughline_message_webhook is not None:
        channels["text"] = channels["call"] = Webhook(url=settings.throughline_message_webhook, secret=webhook_secret(settings))
    return channels


def webhook_secret(settings: Settings) -> bytes:
    """The secret that signs messages to the provider and its feedback to us: the one given, else one derived from the index key."""
    given = settings.throughline_webhook_secret
    if given is not None:
        return given.get_secret_value().encode()
    return hmac.new(settings.keys().index, b"throughline webhook", hashlib.sha256).digest()


def _role_mailboxes(settings: Settings) -> dict[str, str]:
    pairs = (part.partition("=") for part in settings.throughline_role_mailboxes.split(",") if part.strip())
    return {role.strip(): address.strip() for role, _, address in pairs} or {"": "staff@localhost"}


def _letterhead(settings: Settings) -> Letterhead:
    return Letterhead(
        organisation=settings.throughline_organisation,
        callback=settings.throughline_callback,
        console=f"http://{settings.throughline_host}:{settings.throughline_api_port}",
    )

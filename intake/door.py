"""The front door put together: the one place that knows which part needs which. Workers, API and command line open it here."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from eventlog.clock import Clock
from eventlog.database import open_pool
from eventlog.gateway import Gateway
from eventlog.opening import PolicyShelf
from intake.answering.application_acks import ApplicationAcks
from intake.answering.inquiries import Inquiries
from intake.applying.apply import Applier
from intake.files.roster import MemberFiles
from intake.listening.arrivals import COMMITS_AT_ONCE, Arrivals
from intake.listening.loop_connection import soon_noticed
from intake.listening.mllp import Limits, Listener
from intake.listening.receive import Reception
from intake.operating.replays import Rehearsal
from intake.people.identity import IdentityKeys
from intake.people.identity_desk import IdentityDesk
from intake.people.index import IdentityIndex
from intake.reading.subscriptions import Subscriptions
from intake.referrals.desk import ReferralDesk
from intake.referrals.strangers import Strangers
from intake.senders.feeds import FeedWatch
from intake.senders.notices import ACKS, FEEDS, INTAKE, Notices, Oddities, Refusals, Trouble
from intake.senders.sources import Sources
from intake.store.inbox import Inbox, MonthlyKeys
from intake.worker import Worker

POOL_MAX: Final = 16
AGAIN_SECONDS: Final = 5.0
"""After a defect of ours: until the work that it ended is begun again."""

log = structlog.get_logger("intake.door")


@dataclass(slots=True)
class FrontDoor:
    """Everything that messages and files come in by. Make it with `open_door`, end it with `close`."""

    inbox: Inbox
    reception: Reception
    worker: Worker
    files: MemberFiles
    referrals: ReferralDesk
    inquiries: Inquiries
    strangers: Strangers
    index: IdentityIndex
    identity: IdentityKeys
    sources: Sources
    _url: str
    notices: Notices
    feeds: FeedWatch
    rehearsal: Rehearsal
    subscriptions: Subscriptions
    application_acks: ApplicationAcks
    desk: IdentityDesk
    _pool: ConnectionPool[Connection[TupleRow]]
    _threads: ThreadPoolExecutor
    _notes: ThreadPoolExecutor
    """Whoever knocks without end must not hold the threads that store."""

    def listener(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        plain_on_network: bool = False,
        shared: bool = False,
        plain_port: int | None = None,
    ) -> Listener:
        """An MLLP listener that is not bound yet: `await listener.start()`, `await listener.stop()`. See `Listener`."""
        arrivals = Arrivals(self.reception, self._threads, self._url)
        return Listener(
            arrivals.handle, self.sources, host, port, tls, limits or Limits(), plain_on_network, shared=shared,
            plain_port=plain_port, refused=Refusals(self.notices, self.feeds.clock, self._notes.submit),
            took=self.reception.throttle.took, before=arrivals.open, after=arrivals.close,
        )  # fmt: skip

    def start_workers(self, stop: threading.Event, threads: int = 2) -> tuple[threading.Thread, ...]:
        """Threads that work the inbox off, watch the feeds and send application acknowledgements, until `stop` is set."""
        works = [(INTAKE, f"{INTAKE}-{n}", self.worker.run) for n in range(threads)]
        works += [(name, name, run) for name, run in ((FEEDS, self.feeds.run), (ACKS, self.application_acks.run))]
        started = tuple(
            threading.Thread(target=_kept_up, args=(name, run, stop, Trouble(self.notices, self.feeds.clock, work)), name=name)
            for work, name, run in works
        )
        for thread in started:
            thread.start()
        return started

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        self._notes.shutdown(wait=True)
        self._pool.close()


def _kept_up(name: str, work: Callable[[threading.Event, Trouble], None], stop: threading.Event, trouble: Trouble) -> None:
    """Do the work until told to stop. What no part of it expects is told in the log and tried again, and noted where it comes again
    and again: the process beats while this thread lives, and nobody would see that it does not."""
    while not stop.is_set():
        try:
            work(stop, trouble)
            return
        except Exception as failure:
            log.error("thread_failed", operation=name, failure=type(failure).__name__, exc_info=True)
            trouble.met(type(failure))
            stop.wait(AGAIN_SECONDS)


def open_door(
    url: str,
    *,
    gateway: Gateway,
    keys: MonthlyKeys,
    index_key: bytes,
    clock: Clock,
    sources: Sources,
) -> FrontDoor:
    """Opens the front door onto the log's database at `url`, where `intake.store.inbox.create` has been run.

    `keys` is the log's key ring, which keeps the inbox's monthly keys too; `index_key` is THROUGHLINE_INDEX_KEY's bytes.
    """
    pool = open_pool(soon_noticed(url), size_max=POOL_MAX, name="intake")
    inbox = Inbox(pool, keys)
    identity = IdentityKeys(index_key)
    index = IdentityIndex(inbox, gateway.log, gateway, identity)
    bell = threading.Event()
    book = PolicyShelf(gateway.log)
    files = MemberFiles(inbox, gateway, identity, index, clock, book)
    notices = Notices(pool)

    def applier(onto: Gateway) -> Applier:
        return Applier(onto, identity, index)

    def desk_of_referrals(onto: Gateway) -> ReferralDesk:
        return ReferralDesk(inbox, onto, identity, index, clock, sources, book)

    referrals = desk_of_referrals(gateway)
    return FrontDoor(
        inbox=inbox,
        reception=Reception(inbox, clock, ring=bell.set),
        worker=Worker(inbox, applier(gateway), files, referrals, index, sources, clock, Oddities(notices), bell),
        files=files,
        referrals=referrals,
        inquiries=Inquiries(inbox, gateway, identity, index, clock),
        strangers=Strangers(inbox, identity, sources, book, referrals, clock),
        index=index,
        identity=identity,
        sources=sources,
        _url=url,
        notices=notices,
        feeds=FeedWatch(inbox, notices, sources, clock),
        subscriptions=Subscriptions(pool, notices),
        application_acks=ApplicationAcks(inbox, sources, clock),
        rehearsal=Rehearsal(inbox, gateway, applier, desk_of_referrals, sources),
        desk=IdentityDesk(inbox, gateway, identity, sources, clock),
        _pool=pool,
        _threads=ThreadPoolExecutor(COMMITS_AT_ONCE, thread_name_prefix="intake-store"),
        _notes=ThreadPoolExecutor(1, thread_name_prefix="intake-notes"),
    )

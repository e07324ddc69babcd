"""What the API needs from whoever starts it: handed in once, so that a test hands in the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from api.tokens import Pool
from domain.core import Process
from eventlog.clock import Clock
from eventlog.gateway import Gateway
from intake.answering.inquiries import Inquiries
from intake.door import FrontDoor
from intake.files.roster import MemberFiles
from intake.listening.receive import Reception
from intake.people.identity import IdentityKeys
from intake.referrals.desk import ReferralDesk
from intake.referrals.strangers import Strangers
from intake.senders.sources import Sources
from intake.store.inbox import Inbox
from projections.queries import Queries


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that the system stands on. `found` says what is the case, in plain words; `needed`: requests fail without it."""

    name: str
    ready: bool
    found: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What to answer to a signed webhook. `detail` names no person."""

    status: int
    code: str
    detail: str = ""


class Feedback(Protocol):
    """Takes what a message provider reports: delivered, bounced, an answer, STOP. Checks the signature itself."""

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> HookAnswer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a request may use."""

    gateway: Gateway
    pool: Pool
    clock: Clock
    processes: Mapping[str, Process]
    identity: IdentityKeys
    inbox: Inbox
    reception: Reception
    files: MemberFiles
    referrals: ReferralDesk
    inquiries: Inquiries
    strangers: Strangers
    sources: Sources
    door: FrontDoor
    queries: Queries
    ready: Callable[[], tuple[Dependency, ...]]
    feedback: Feedback | None = None
    programme: tuple[str, str] = ("", "")
    """The programme's name and phone number, for hospitals whose patient has no care manager with a number."""
    public_url: str = ""
    """Where clients reach the API; signed assertions are made for it."""

"""What a sender is: it takes one message and says what became of it. It never logs, raises or returns an address or a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

SEND_SECONDS_MAX = 20.0
"""A sender gives up after this long, connecting included, so that a delivery ends inside its minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message, addressed and written. What is personal does not show when it is printed.

    `key` is the idempotency key: the same for every attempt at this request. `process` and `request` say where an answer belongs.
    `address` is a phone number, a mail address or the lines of a postal address; `name` is the recipient's.
    """

    key: str
    kind: str
    process: str
    request: str
    recipient: str
    point: str
    language: str
    address: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """The channel took it, under its own `reference`."""

    reference: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel did not take it. `code` is ours. Permanent: trying again with this address is of no use."""

    permanent: bool
    code: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """The connection broke after the message was handed over: nobody can say."""


Told = Sent | Failed | Unsure


class Channel(Protocol):
    """A sender. `idempotent`: the same key sent twice reaches the recipient once."""

    @property
    def idempotent(self) -> bool: ...

    def send(self, message: Outgoing) -> Told: ...

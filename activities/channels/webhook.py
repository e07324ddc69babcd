"""Texts and voice calls: a signed request to the provider's webhook, which honours the idempotency key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.channels.port import SEND_SECONDS_MAX, Failed, Outgoing, Sent, Told
from activities.channels.signature import IDEMPOTENCY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, timestamp_of

if TYPE_CHECKING:
    import httpx

TRIES_MAX = 3
BUSY = (408, 425, 429)
"""Answers of the 4xx kind that say "later", not "never"."""

NOT_ABOUT_THE_ADDRESS = (401, 403, 404, 405)
"""Answers that say that our set-up is wrong: no reason to give up a member's phone number."""

REFERENCE_CHARACTERS_MAX = 200


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Posts each message as JSON. `context` is opaque to the provider and comes back with its feedback (feedback.py)."""

    url: str
    secret: bytes = field(repr=False)
    seconds_max: float = SEND_SECONDS_MAX
    pause_seconds: float = 0.5
    transport: httpx.BaseTransport | None = None
    utc_now: Callable[[], datetime] = _utc_now

    @property
    def idempotent(self) -> bool:
        return True

    def send(self, message: Outgoing) -> Told:
        """Try a few times under one key while the provider is silent or busy; the last answer counts."""
        until = time.monotonic() + self.seconds_max
        told: Told = Failed(False, "provider_away")
        for turn in range(TRIES_MAX):
            left = until - time.monotonic()
            if left <= 0:
                break
            told = self._post(message, min(left, self.seconds_max / TRIES_MAX))
            if not isinstance(told, Failed) or told.permanent:
                break
            time.sleep(min(self.pause_seconds * 2**turn, max(0.0, until - time.monotonic())))
        return told

    def _post(self, message: Outgoing, seconds: float) -> Told:
        import httpx  # a tenth of a second that nobody waits for who sends no texts

        body = _body(message)
        timestamp = timestamp_of(self.utc_now())
        headers = {
            "Content-Type": "application/json",
            IDEMPOTENCY_HEADER: message.key,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(self.secret, timestamp, body),
        }
        try:
            with httpx.Client(timeout=seconds, transport=self.transport, follow_redirects=False) as client:
                answer = client.post(self.url, content=body, headers=headers)
        except httpx.TimeoutException:
            return Failed(False, "provider_silent")
        except httpx.HTTPError:
            return Failed(False, "provider_away")
        return _told(answer)


def _told(answer: httpx.Response) -> Told:
    code = answer.status_code
    if 200 <= code < 300:
        return Sent(_reference(answer))
    if code in BUSY or code >= 500:
        return Failed(False, "provider_busy")
    if code in NOT_ABOUT_THE_ADDRESS or code < 400:
        return Failed(False, "provider_refuses_us")
    return Failed(True, "address_refused")


def _reference(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return ""
    return str(said.get("id", ""))[:REFERENCE_CHARACTERS_MAX] if isinstance(said, dict) else ""


def _body(message: Outgoing) -> bytes:
    context = {"process": message.process, "request": message.request, "recipient": message.recipient, "point": message.point}
    letter = {
        "channel": message.kind,
        "to": message.address,
        "language": message.language,
        "text": message.body,
        "context": {**context, "channel": message.kind},
    }
    return json.dumps(letter, ensure_ascii=False, separators=(",", ":")).encode()

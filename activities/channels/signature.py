"""The signature of a webhook, both ways: HMAC-SHA256 over the time and the body, so that neither can be replayed or changed."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

SIGNATURE_HEADER = "Throughline-Signature"
TIMESTAMP_HEADER = "Throughline-Timestamp"
IDEMPOTENCY_HEADER = "Idempotency-Key"
SECRET_BYTES_MIN = 16

REPLAY_WINDOW = timedelta(minutes=5)
"""A signed message that is older, or dated further ahead, is refused."""


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=<hex>` over `<timestamp>.<body>`; the timestamp is in whole seconds since 1970."""
    assert len(secret) >= SECRET_BYTES_MIN, "a webhook secret has at least 16 bytes"
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def timestamp_of(now: datetime) -> str:
    return str(int(now.timestamp()))


def is_signed(secret: bytes, timestamp: str, given: str, body: bytes) -> bool:
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), given.encode())


def is_recent(timestamp: str, now: datetime) -> bool:
    try:
        said = datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return abs(now - said) <= REPLAY_WINDOW

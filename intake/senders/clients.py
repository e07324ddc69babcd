"""Backend services of senders: SMART's client_credentials with a signed assertion (messages.md 2.4).

A source's public keys are data of the registry. An assertion is believed once: its `jti` is kept until it would have expired.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

ASSERTION_LIFE_MAX: Final = timedelta(minutes=5)
CLOCKS_APART_MAX: Final = timedelta(seconds=30)
ASSERTION_CHARS_MAX: Final = 8_192
JTI_CHARS_MAX: Final = 250
RSA_BITS_MIN: Final = 2048
ES384_BYTES: Final = 48
ALGORITHMS: Final = ("RS384", "ES384")

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Seen = Callable[[str, str, datetime], bool]
"""(client, jti, until when it counts) -> whether it was presented before; from now on it was."""


class NotBelieved(Exception):
    """An assertion that does not prove who presents it. `said` is for the client's engineer and says nothing secret."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True, slots=True)
class Assertion:
    """A signed claim, not yet believed: `client` is who it says it is."""

    client: str
    algorithm: str
    key_id: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def read_assertion(text: str) -> Assertion:
    """The parts of a JWT. Raises NotBelieved."""
    if len(text) > ASSERTION_CHARS_MAX or text.count(".") != 2:
        raise NotBelieved("client_assertion: send a JWT in its compact form")
    head, body, signature = text.split(".")
    header, claims = _json(head), _json(body)
    algorithm, client = header.get("alg"), claims.get("sub")
    if algorithm not in ALGORITHMS:
        raise NotBelieved(f"alg: sign with {' or '.join(ALGORITHMS)}")
    if not isinstance(client, str) or not client or claims.get("iss") != client:
        raise NotBelieved("iss, sub: both are the client's id")
    key_id = header.get("kid")
    return Assertion(
        client, algorithm, key_id if isinstance(key_id, str) else "", claims, f"{head}.{body}".encode(), _bytes(signature)
    )


def believe(assertion: Assertion, keys: Sequence[Mapping[str, Any]], *, audience: Sequence[str], now: datetime, seen: Seen) -> None:
    """Check the signature, for whom and until when it counts, and that it is new. Raises NotBelieved.

    `keys` are those of the client, none where nobody is it: who has no key shall not learn which clients there are."""
    candidates = [k for k in keys if k.get("kid", "") == assertion.key_id] if assertion.key_id else keys
    if not any(_signed_by(assertion, key) for key in candidates):
        raise NotBelieved("sub, kid: no key that is registered for this client signed it; give the programme client id and JWKS")
    claims = assertion.claims
    said = claims.get("aud")
    if not any(isinstance(each, str) and each in audience for each in (said if isinstance(said, list) else [said])):
        raise NotBelieved(f"aud: must be {audience[0]}")
    expires = _instant(claims.get("exp"), "exp")
    if expires <= now - CLOCKS_APART_MAX:
        raise NotBelieved("exp: has passed; are your clocks right?")
    if expires > now + ASSERTION_LIFE_MAX + CLOCKS_APART_MAX:
        raise NotBelieved("exp: may lie five minutes ahead at most")
    for name in ("nbf", "iat"):
        if name in claims and _instant(claims[name], name) > now + CLOCKS_APART_MAX:
            raise NotBelieved(f"{name}: lies ahead; are your clocks right?")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= JTI_CHARS_MAX or not jti.isprintable():
        raise NotBelieved("jti: give every assertion a new one")
    if seen(assertion.client, jti, expires + CLOCKS_APART_MAX):
        raise NotBelieved("jti: was presented before; make a new assertion for every token")


def public_key(key: Mapping[str, Any]) -> tuple[str, PublicKey]:
    """(algorithm, key) of a JWK. Raises ValueError that says what is wrong with it."""
    if key.get("d") is not None:
        raise ValueError("holds a private key; keep that one at the hospital and give the public part")
    match key.get("kty"):
        case "RSA":
            numbers = rsa.RSAPublicNumbers(_number(key, "e"), _number(key, "n"))
            if numbers.n.bit_length() < RSA_BITS_MIN:
                raise ValueError(f"is an RSA key of {numbers.n.bit_length()} bits; {RSA_BITS_MIN} are needed")
            return "RS384", numbers.public_key()
        case "EC":
            if key.get("crv") != "P-384":
                raise ValueError(f"has the curve {key.get('crv')}; ES384 needs P-384")
            return "ES384", ec.EllipticCurvePublicNumbers(_number(key, "x"), _number(key, "y"), ec.SECP384R1()).public_key()
        case other:
            raise ValueError(f"has the kty {other}; give an RSA or an EC key")


def _signed_by(assertion: Assertion, key: Mapping[str, Any]) -> bool:
    algorithm, public = public_key(key)
    if algorithm != assertion.algorithm:
        return False
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(assertion.signature, assertion.signed, padding.PKCS1v15(), hashes.SHA384())
            return True
        if len(assertion.signature) != 2 * ES384_BYTES:
            return False
        r, s = (int.from_bytes(assertion.signature[n : n + ES384_BYTES]) for n in (0, ES384_BYTES))
        public.verify(encode_dss_signature(r, s), assertion.signed, ec.ECDSA(hashes.SHA384()))
        return True
    except InvalidSignature:
        return False


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotBelieved("client_assertion: its parts are not base64url") from None


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        raise NotBelieved("client_assertion: its parts are not JSON") from None
    if not isinstance(found, dict):
        raise NotBelieved("client_assertion: its parts are not JSON objects")
    return found


def _instant(value: object, name: str) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotBelieved(f"{name}: write seconds since 1970")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise NotBelieved(f"{name}: write seconds since 1970") from None


def _number(key: Mapping[str, Any], name: str) -> int:
    value = key.get(name)
    if not isinstance(value, str):
        raise ValueError(f"lacks {name}")
    try:
        return int.from_bytes(_bytes(value))
    except NotBelieved:
        raise ValueError(f"{name} is not base64url") from None


ANY: Final = "*"
NOTIFIES, REFERS, INQUIRES = SCOPES = ("system/Bundle.c", "system/ServiceRequest.c", "system/CareTeam.s")
"""What a backend service can be let do: send notifications; refer; ask who leads a patient's care."""

_SCOPE: Final = re.compile(r"system/([A-Za-z]+|\*)\.(?:(read)|(write)|(\*)|(?=.)(c?r?u?d?s?))")


def allows(granted: Sequence[str], wanted: str) -> bool:
    """Whether one of the granted scopes covers a wanted one whole. v1's `read` is `rs`, its `write` `cud`. What narrows a scope by
    a query, or is none, covers nothing."""
    kind, deeds = _meaning(wanted)
    meant = map(_meaning, granted)
    return bool(deeds) and any(named in (kind, ANY) and deeds <= may for named, may in meant)


def _meaning(scope: str) -> tuple[str, frozenset[str]]:
    """(resource type or `ANY`, what may be done with it)."""
    found = _SCOPE.fullmatch(scope)
    if found is None:
        return "", frozenset()
    kind, reads, writes, everything, letters = found.groups()
    return kind, frozenset("rs" if reads else "cud" if writes else "cruds" if everything else letters)

"""Who may send messages, and what their messages mean: one row a source (messages.md 2.4).

A source is recognised by its endpoint, certificate, token or address, never by what its messages say of themselves. What differs
between hospitals is a row here, not a branch in the code.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import time
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from intake.senders.charsets import known_charset
from intake.senders.clients import NOTIFIES, SCOPES, allows, public_key

DEMO_SOURCES: Final = Path(__file__).with_name("demo-sources.toml")
SOURCES_MAX: Final = 1_000
"""A file with more rows than this is not a registry of hospitals."""


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class AckMode(StrEnum):
    """How a source wants to be answered; `auto` follows MSH-15 and MSH-16 (messages.md 1.5)."""

    AUTO = "auto"
    ORIGINAL = "original"
    ENHANCED = "enhanced"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _zone_that_exists(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as unknown:
        raise ValueError(f"{name!r} is no time zone; write one of the IANA names, e.g. America/Los_Angeles") from unknown
    return name


ZoneName = Annotated[str, AfterValidator(_zone_that_exists)]


class Facility(_Row):
    """A hospital's own id in this programme, its name for people, and what its messages call it. `timezone`: of the times in its
    messages that say none, where it is not the source's: an exchange sends for hospitals of several zones."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    name: str
    aliases: tuple[str, ...] = ()
    timezone: ZoneName | None = None


class Source(_Row):
    """One sender of messages.

    Its client certificate is known by its fingerprint (`certificate_sha256`), as a PEM file beside the registry (`certificates`),
    or by a name (`certificate_names`: the subject as RFC 4514 writes it, or a DNS name) that one of its `authorities` (PEM files)
    signed itself. Bearer tokens are not kept here: `throughline token create` makes them. A SMART backend client has a `client_id`,
    its public keys (`jwks`, or `jwks_file` beside the registry) and the `scopes` that it may ask for.
    `application_acks_to`: host:port of its own MLLP listener, where it takes the application acknowledgements of enhanced mode.
    `messages_per_minute`: more over HTTP get 429; 0: no limit.
    `id_authorities` maps what messages call an assigning authority to the name that matching uses, `cin` for the state's.
    `zbe`: a CANCEL in ZBE-4 takes back what the trigger says.
    `production` = False means that test messages are acted on too. `plan_of_referrals`: the health plan of
    referrals that name none. `inquiries_per_hour`: how often it may ask whether its patient is enrolled; 0: never.

    `expected_every_minutes`: silence longer than this, within the expected hours of the source's zone, is noticed; 0: never.
    `unmatched_days`: for so long a message waits for somebody to whom it belongs. `tells_membership`: whether the sender may see
    that its message was applied or matched nobody, which tells it who is a member.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    transports: tuple[Literal["mllp", "http"], ...] = ("mllp", "http")
    certificate_sha256: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    certificates: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()
    application_acks_to: Annotated[str, Field(pattern=r"^([^\s:]+:\d{1,5})?$")] = ""
    client_id: Annotated[str, Field(max_length=200)] = ""
    jwks: tuple[dict[str, Any], ...] = ()
    jwks_file: str = ""
    scopes: tuple[str, ...] = (NOTIFIES,)
    messages_per_minute: Annotated[int, Field(ge=0)] = 0
    addresses: tuple[str, ...] = ()
    facilities: tuple[Facility, ...] = ()
    facility_fields: tuple[Literal["PV1-3.4", "MSH-4", "EVN-7", "PV1-39"], ...] = ("PV1-3.4", "MSH-4", "EVN-7", "PV1-39")
    timezone: ZoneName = "America/Los_Angeles"
    ignore_offsets: bool = False
    charset: str = ""
    ack_mode: AckMode = AckMode.AUTO
    id_authorities: dict[str, str] = Field(default_factory=dict)
    class_aliases: dict[str, Literal["I", "E", "O", "OBS", "P", "R", "B", "C", "N", "U"]] = Field(default_factory=dict)
    disposition_aliases: dict[str, str] = Field(default_factory=dict)
    accept_other_types: bool = False
    zbe: bool = False
    production: bool = True
    plan_of_referrals: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = "default"
    inquiries_per_hour: Annotated[int, Field(ge=0, le=10_000)] = 0
    expected_every_minutes: Annotated[int, Field(ge=0, le=60 * 24 * 31)] = 0
    expected_from: time = time(0)
    expected_until: time = time(23, 59)
    expected_on: tuple[Weekday, ...] = WEEK
    unmatched_days: Annotated[int, Field(ge=1, le=3_660)] = 180
    tells_membership: bool = False

    @field_validator("charset")
    @classmethod
    def _charset_is_known(cls, name: str) -> str:
        if name and not known_charset(name):
            raise ValueError(f"{name!r} cannot be used; write one of ASCII, 8859/1, 8859/15, windows-1252, UTF-8")
        return name

    @field_validator("addresses")
    @classmethod
    def _addresses_are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is no network; write 10.0.0.0/8, or one address as 10.1.2.3/32") from None
        return networks

    @field_validator("application_acks_to")
    @classmethod
    def _port_exists(cls, address: str) -> str:
        if address and not 0 < int(address.rpartition(":")[2]) < 1 << 16:
            raise ValueError(f"{address!r} has no port; write host:port, the port from 1 to 65535")
        return address

    @field_validator("jwks")
    @classmethod
    def _keys_can_be_used(cls, keys: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for number, key in enumerate(keys, start=1):
            try:
                public_key(key)
            except ValueError as fault:
                raise ValueError(f"key {number} {fault}") from None
        return keys

    @field_validator("scopes")
    @classmethod
    def _scopes_let_something_be_done(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        for scope in scopes:
            if not any(allows((scope,), one) for one in SCOPES):
                raise ValueError(f"{scope!r} lets nobody do anything here; write some of {', '.join(SCOPES)}")
        return scopes

    @model_validator(mode="after")
    def _a_client_has_keys(self) -> Self:
        if bool(self.client_id) != bool(self.jwks or self.jwks_file):
            raise ValueError("client_id and its keys (jwks, or jwks_file beside this registry) go together")
        return self

    @model_validator(mode="after")
    def _names_are_believed_of_somebody(self) -> Self:
        if self.certificate_names and not self.authorities:
            raise ValueError(
                "certificate_names need authorities (PEM files): else whoever the listener trusts could issue such a name"
            )
        return self

    @model_validator(mode="after")
    def _hours_make_a_day(self) -> Self:
        if self.expected_from >= self.expected_until:
            raise ValueError("expected_from must lie before expected_until; write 07:00:00 and 19:00:00, and 23:59:00 for midnight")
        return self

    @model_validator(mode="after")
    def _an_alias_names_one_facility(self) -> Self:
        seen: dict[str, str] = {}
        for facility in self.facilities:
            for alias in {facility.id, *facility.aliases}:
                if seen.setdefault(alias.upper(), facility.id) != facility.id:
                    raise ValueError(f"the alias {alias!r} names two facilities; keep it for one of them")
        return self

    @cached_property
    def _facilities_by_name(self) -> dict[str, Facility]:
        return {name.upper(): facility for facility in self.facilities for name in (facility.id, *facility.aliases)}

    @cached_property
    def _classes_by_name(self) -> dict[str, str]:
        return {name.upper(): code for name, code in reversed(self.class_aliases.items())}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Another row; what this one has worked out is not the other's."""
        copied = super().model_copy(update=update, deep=deep)
        for worked_out in ("_facilities_by_name", "_classes_by_name"):
            copied.__dict__.pop(worked_out, None)
        return copied

    def facility_called(self, name: str) -> Facility | None:
        """The facility that messages call so; None where the registry does not know it."""
        return self._facilities_by_name.get(name.strip().upper())

    def zone_at(self, facility: str) -> str:
        """The time zone of what is said of a facility, by its id; the source's own where it has none, or is not in the registry."""
        known = self._facilities_by_name.get(facility.upper())
        return known.timezone if known is not None and known.timezone is not None else self.timezone

    def class_called(self, said: str) -> str:
        """The code of table 0004 for what messages write in PV1-2, in capitals; what is no alias stands for itself."""
        wanted = said.upper()
        return self._classes_by_name.get(wanted, wanted)

    def authority(self, name: str) -> str:
        """The name that matching uses for an assigning authority; without one, the source itself (messages.md 5)."""
        if not name:
            return self.name
        return self.id_authorities.get(name, f"{self.name}/{name}")


class SourcesInvalid(Exception):
    """The registry cannot be used. The text names the file, the row, the field and the remedy."""


class _TwoForOnePeer(SourcesInvalid):
    def __init__(self, one: str, other: str, by: str) -> None:
        super().__init__(
            f"sources {one} and {other} would both be known by {by}: nobody could say who sends; leave it to one of them"
        )


class Sources:
    """The registry: finds who is sending."""

    def __init__(
        self,
        rows: tuple[Source, ...],
        trusted: tuple[str, ...] = (),
        issuers: Mapping[str, tuple[x509.Certificate, ...]] = MappingProxyType({}),
    ) -> None:
        """`trusted`: certificates and authorities of the rows' files, as PEM, for the listener's TLS. `issuers`: by the name of a
        source, who may give its `certificate_names`."""
        self.rows = rows
        self.trusted = trusted
        self._issuers = issuers
        self._by_name = {row.name: row for row in rows}
        if len(self._by_name) != len(rows):
            twice = next(name for name, many in Counter(row.name for row in rows).items() if many > 1)
            raise SourcesInvalid(f"name: two sources have one name, {twice}; give each its own")
        clients = [row.client_id for row in rows if row.client_id]
        if len(set(clients)) != len(clients):
            raise SourcesInvalid("two sources have one client_id: nobody could say whose a token is; give each its own")
        _refuse_two_for_one_peer(rows, issuers)

    def named(self, name: str) -> Source | None:
        return self._by_name.get(name)

    def of_client(self, client_id: str) -> Source | None:
        """The source of a SMART backend client."""
        return next((row for row in self.rows if row.client_id and row.client_id == client_id and "http" in row.transports), None)

    @staticmethod
    def fingerprint(certificate_der: bytes) -> str:
        return hashlib.sha256(certificate_der).hexdigest()

    def presenting_certificate(self, certificate_der: bytes) -> Source | None:
        """The source of a certificate that TLS has verified: by its fingerprint, else by a name that its issuer may give."""
        fingerprint = self.fingerprint(certificate_der)
        rows = [row for row in self.rows if "mllp" in row.transports]
        pinned = next((row for row in rows if fingerprint in row.certificate_sha256), None)
        if pinned is not None or not any(row.certificate_names for row in rows):
            return pinned
        try:
            certificate = x509.load_der_x509_certificate(certificate_der)
        except ValueError:
            return None
        names = _names_of(certificate)
        known = (row for row in rows if not names.isdisjoint(row.certificate_names))
        return next((row for row in known if any(_signed(certificate, by) for by in self._issuers.get(row.name, ()))), None)

    def at_address(self, address: str) -> Source | None:
        """The source that is allowed to send from a network address without a certificate."""
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            return None
        for row in self.rows:
            if "mllp" in row.transports and any(host in ipaddress.ip_network(network) for network in row.addresses):
                return row
        return None


def _refuse_two_for_one_peer(rows: Sequence[Source], issuers: Mapping[str, tuple[x509.Certificate, ...]]) -> None:
    """Where a peer would be both of two sources, its messages would be read as the wrong one's. Raises SourcesInvalid."""
    known: dict[tuple[str, ...], str] = {}
    networks: list[tuple[int, ipaddress.IPv4Network | ipaddress.IPv6Network, str]] = []
    for row in rows:
        for mark in _known_by(row, issuers.get(row.name, ())):
            if (first := known.setdefault(mark, row.name)) != row.name:
                raise _TwoForOnePeer(first, row.name, " ".join(mark[:2]))
        if "mllp" in row.transports:
            networks += [(network.version, network, row.name) for network in map(ipaddress.ip_network, row.addresses)]
    networks.sort(key=lambda each: (each[0], int(each[1].network_address), each[1].prefixlen))  # a wider one before those within it
    wide: tuple[int, ipaddress.IPv4Network | ipaddress.IPv6Network, str] | None = None
    for each in networks:
        if wide is None or wide[0] != each[0] or not wide[1].overlaps(each[1]):
            wide = each
        elif wide[2] != each[2]:
            raise _TwoForOnePeer(wide[2], each[2], f"addresses {wide[1]} and {each[1]}")


def _known_by(row: Source, issuers: Sequence[x509.Certificate]) -> Iterator[tuple[str, ...]]:
    """(what it is, which, of whom) of everything but its addresses by which a source is known."""
    if "mllp" in row.transports:
        for fingerprint in row.certificate_sha256:
            yield "certificate_sha256", fingerprint
        for name in row.certificate_names:
            for issuer in issuers:
                yield "certificate_names", name, issuer.fingerprint(hashes.SHA256()).hex()


def load_sources(path: Path | None = None) -> Sources:
    """The registry from a TOML file with `[[source]]` tables; the demo's own where no path is given.

    Raises `SourcesInvalid` with the file, the row, the field and what to write instead.
    """
    path = path or DEMO_SOURCES
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        raise SourcesInvalid(f"{path}: there is no such file; name one with [[source]] tables") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise SourcesInvalid(f"{path}: not TOML: {broken}") from None
    rows = tables.get("source")
    if not isinstance(rows, list) or not rows or len(rows) > SOURCES_MAX or set(tables) != {"source"}:
        raise SourcesInvalid(f"{path}: write 1 to {SOURCES_MAX} [[source]] tables and nothing else")
    sources: list[Source] = []
    trusted: list[str] = []
    issuers: dict[str, tuple[x509.Certificate, ...]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            source = Source.model_validate(row)
            sources.append(source.model_copy(update=_from_files(source, path.parent, trusted, issuers)))
        except _FileFault as fault:
            line = line_of(text, number, (fault.field,))
            raise SourcesInvalid(f"{path}, line {line}: source {number}: {fault.field}: {fault}") from None
        except ValidationError as wrong:
            first = wrong.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the row"
            line = line_of(text, number, first["loc"])
            raise SourcesInvalid(f"{path}, line {line}: source {number}: {field}: {_remedy(first)}") from None
    return Sources(tuple(sources), tuple(trusted), issuers)


class _FileFault(Exception):
    """A file that a row names cannot be used."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


def _from_files(
    source: Source, folder: Path, trusted: list[str], issuers: dict[str, tuple[x509.Certificate, ...]]
) -> dict[str, object]:
    """What the files that a row names add to it. Certificates are appended to `trusted`, authorities put into `issuers` too."""
    pinned = [_certificate_in(folder / name, "certificates") for name in source.certificates]
    authorities = [_certificate_in(folder / name, "authorities") for name in source.authorities]
    issuers[source.name] = tuple(authorities)
    trusted += [found.public_bytes(serialization.Encoding.PEM).decode() for found in (*pinned, *authorities)]
    prints = [found.fingerprint(hashes.SHA256()).hex() for found in pinned]
    keys = _keys_in(folder / source.jwks_file) if source.jwks_file else ()
    return {"certificate_sha256": (*source.certificate_sha256, *prints), "jwks": (*source.jwks, *keys)}


def _keys_in(file: Path) -> tuple[dict[str, Any], ...]:
    try:
        keys = json.loads(file.read_bytes())["keys"]
        for number, key in enumerate(keys, start=1):
            try:
                public_key(key)
            except ValueError as fault:
                raise _FileFault("jwks_file", f"{file}: key {number} {fault}") from None
    except OSError:
        raise _FileFault(
            "jwks_file", f"{file} cannot be read; put the file there, or write its path beside this registry"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _FileFault("jwks_file", f'{file} is no JWKS; ask for JSON as {{"keys": [...]}}') from None
    return tuple(keys)


def _certificate_in(file: Path, field: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except OSError:
        raise _FileFault(field, f"{file} cannot be read; put the file there, or write its path beside this registry") from None
    except ValueError:
        raise _FileFault(field, f"{file} holds no certificate; ask for one in PEM, beginning with BEGIN CERTIFICATE") from None


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this very authority signed it: another of the same name did not."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[str]:
    """By what a certificate may be known: its whole subject as RFC 4514 writes it, and the DNS names that it is for."""
    names = {certificate.subject.rfc4514_string()}
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names |= set(alternative.value.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        pass
    return names


_HEADING = re.compile(r"^\s*\[\[\s*source\s*\]\]")


def line_of(text: str, number: int, loc: tuple[int | str, ...]) -> int:
    """The line, counted from 1, on which the `number`th source says the field, else where that source begins."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if _HEADING.match(line)]
    if number > len(starts):
        return 1
    begin = starts[number - 1]
    end = starts[number] if number < len(starts) else len(lines)
    at = begin
    for part in loc:
        if isinstance(part, int):  # the nth table of a list, else an element of a list that stands on the line already found
            tables = [n for n in range(begin, end) if re.match(rf"^\s*\[\[\s*source\.{re.escape(str(loc[0]))}\s*\]\]", lines[n])]
            at = tables[part] if part < len(tables) else at
            continue
        said = re.compile(rf"^\s*(\[+\s*(source\.)?)?[\"']?{re.escape(part)}[\"']?\s*(\]|=)")
        at = next((n for n in range(at, end) if said.match(lines[n])), at)
    return at + 1


def _remedy(error: ErrorDetails) -> str:
    """What is wrong and what to write, in a registry's words."""
    match error["type"]:
        case "extra_forbidden":
            *within, unknown = error["loc"]
            fields = sorted((Facility if within else Source).model_fields)
            near = get_close_matches(str(unknown), fields, n=4)
            return f"there is no such field; take it away or write {' or '.join(near) or 'one of ' + ', '.join(fields)}"
        case "missing":
            return "is missing; write it"
        case _:
            return error["msg"].removeprefix("Value error, ")

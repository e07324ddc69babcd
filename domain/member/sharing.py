"""Who may be told what of a member's care: the people in their life, the authority that somebody showed, the member's written word.

Care never waits for any of it (domain.md 1.3). What is not covered is left out of what others see, with the reason (scenarios 31
and 32).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Protocol

from domain.calendar import local_date
from domain.core import Command, Decision, Instant, Recorded, Refusal, personal
from domain.member.circumstances import (
    AuthorityEnded,
    AuthorityShown,
    DataSharingAuthorised,
    DataSharingRevoked,
    PartyNamed,
)
from domain.timeline import Timeline, put

PARTIES_MAX = 30
AUTHORISATIONS_MAX = 100
WORDS_LENGTH_MAX = 200
"""Characters of how something was shown or given."""

# --- words ---------------------------------------------------------------------------------------------------------------------


class Audience(StrEnum):
    """To whom something is shown. `legal_representative`: a guardian or conservator with the authority shown."""

    MEMBER = "member"
    LEGAL_REPRESENTATIVE = "legal_representative"
    FAMILY = "family"
    PLAN = "plan"
    FACILITY = "facility"
    PRIMARY_CARE = "primary_care"


class Content(StrEnum):
    """What an authorisation covers. `care_plan`: everything that has no protection of its own."""

    CARE_PLAN = "care_plan"
    SUBSTANCE_USE = "substance_use"
    MENTAL_HEALTH = "mental_health"
    ALL = "all"


class Why(StrEnum):
    """Why something is withheld."""

    PART_2_NOT_AUTHORISED = "part_2_not_authorised"
    SHARING_NOT_AUTHORISED = "sharing_not_authorised"
    LEGAL_AUTHORITY_NOT_SHOWN = "legal_authority_not_shown"


SHARE, DECIDE = "share_information", "decide_services"
SCOPES = (SHARE, DECIDE)
RELATIONS = (
    "caregiver",
    "conservator",
    "guardian",
    "parent",
    "spouse_or_partner",
    "child",
    "sibling",
    "other_family",
    "friend",
)
DECIDES_BY_LAW = ("conservator", "guardian")
RECIPIENTS = (Audience.PLAN, Audience.FAMILY, Audience.FACILITY, Audience.PRIMARY_CARE)
ASKS_FIRST = (Audience.FAMILY,)
"""Those who are told nothing at all without a word for it: plan, facility and practice take part in the member's care."""

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NameParty(Command):
    """`party`: the id of somebody who is known already, to put them right; left out, somebody new."""

    relation: str
    party: str = ""
    name: str | None = personal()
    phone: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowAuthority(Command):
    """`until` is the last day on which the document holds."""

    party: str
    scope: str
    document: str
    until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAuthority(Command):
    party: str
    scope: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoriseDataSharing(Command):
    """`given_by`: left out, the member."""

    content: str
    recipients: tuple[str, ...]
    given_by: str = ""
    expires_on: date | None = None
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDataSharing(Command):
    authorisation: str
    reason: str = ""


SharingCommand = NameParty | ShowAuthority | EndAuthority | AuthoriseDataSharing | RevokeDataSharing
SharingFact = PartyNamed | AuthorityShown | AuthorityEnded | DataSharingAuthorised | DataSharingRevoked

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in the member's life. `name` and `phone` are None where the member was erased."""

    id: str
    relation: str
    name: str | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A written word. `given_by`: the member (empty) or a party. `revoked_at` None: never."""

    id: str
    content: Content
    recipients: tuple[str, ...]
    given_by: str
    since: Instant
    expires_on: date | None
    revoked_at: Instant | None

    def stands(self, at: Instant, zone_name: str) -> bool:
        begun = self.since <= at and (self.revoked_at is None or at < self.revoked_at)
        return begun and (self.expires_on is None or local_date(at, zone_name) <= self.expires_on)

    def covers(self, topic: str) -> bool:
        """Whether it is about a topic: a word on anything lets the rest be shared too that has no protection of its own."""
        return self.content is Content.ALL or topic not in PROTECTED or self.content.value == topic


PROTECTED = (Content.SUBSTANCE_USE.value, Content.MENTAL_HEALTH.value)
"""Topics that an authorisation must name, or cover with `all`."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What was said of it, in the order of the world."""

    said: Timeline = ()

    def parties(self, at: Instant | None = None) -> tuple[Party, ...]:
        """Who had been named by then, or ever."""
        found: dict[str, Party] = {}
        for fact in (e.fact for e in self.said if isinstance(e.fact, PartyNamed) and (at is None or e.at <= at)):
            before = found.get(fact.party)
            name, phone = (before.name, before.phone) if before else (None, None)
            found[fact.party] = Party(fact.party, fact.relation, fact.name or name, fact.phone or phone)
        return tuple(found.values())

    def authorisations(self) -> tuple[Authorisation, ...]:
        """Every one that was ever given, also those that no longer stand."""
        revoked: dict[str, Instant] = {}
        for entry in self.said:
            if isinstance(entry.fact, DataSharingRevoked):
                revoked.setdefault(entry.fact.authorisation, entry.at)
        return tuple(
            Authorisation(
                id=e.fact.authorisation,
                content=Content(e.fact.content),
                recipients=e.fact.recipients,
                given_by=e.fact.given_by,
                since=e.at,
                expires_on=e.fact.expires_on,
                revoked_at=revoked.get(e.fact.authorisation),
            )
            for e in self.said
            if isinstance(e.fact, DataSharingAuthorised)
        )

    def holds_authority(self, party: str, scope: str, at: Instant, zone_name: str) -> bool:
        """Whether a party's authority was shown, has not ended, and its document still holds."""
        last = self.last_said(party, scope, at)
        if not isinstance(last, AuthorityShown):
            return False
        return last.until is None or local_date(at, zone_name) <= last.until

    def decided_by_law(self, at: Instant) -> tuple[Party, ...]:
        """The conservators and guardians: from when they are named until their authority to share is said to have ended. A document
        that has run out, or was never seen, does not give the decision back to the member."""
        named = (p for p in self.parties(at) if p.relation in DECIDES_BY_LAW)
        return tuple(p for p in named if not isinstance(self.last_said(p.id, SHARE, at), AuthorityEnded))

    def last_said(self, party: str, scope: str, at: Instant) -> AuthorityShown | AuthorityEnded | None:
        found: AuthorityShown | AuthorityEnded | None = None
        for entry in self.said:
            fact = entry.fact
            if entry.at <= at and isinstance(fact, AuthorityShown | AuthorityEnded) and (fact.party, fact.scope) == (party, scope):
                found = fact
        return found

    def forgotten(self) -> Sharing:
        """Without the names and numbers of people, once the member's personal data was erased."""
        nameless = (
            e._replace(fact=replace(e.fact, name=None, phone=None)) if isinstance(e.fact, PartyNamed) else e for e in self.said
        )
        return Sharing(tuple(nameless))


class Shares(Protocol):
    """A member, as far as it matters here: what was said on sharing, and the zone whose days count."""

    @property
    def sharing(self) -> Sharing: ...
    @property
    def timezone(self) -> str: ...


def evolve(state: Sharing, recorded: Recorded) -> Sharing:
    return Sharing(put(state.said, recorded))


# --- what may be told ----------------------------------------------------------------------------------------------------------


def withheld_because(topic: str, audience: Audience, sharing: Sharing, at: Instant, zone_name: str) -> Why | None:
    """Why something on a topic may not be told to an audience at an instant; None where it may.

    Substance use: only with an authorisation that names it (42 CFR Part 2). Family: nothing without any authorisation, and mental
    health only with one that names it. Where a conservator or guardian decides, the member's own word stays recorded, but what
    counts is the word of one whose authority was shown (scenario 32)."""
    if audience is Audience.MEMBER:
        return None
    deciders = sharing.decided_by_law(at)
    shown = {p.id for p in deciders if sharing.holds_authority(p.id, SHARE, at, zone_name)}
    if audience is Audience.LEGAL_REPRESENTATIVE:
        return None if shown else Why.LEGAL_AUTHORITY_NOT_SHOWN
    if topic != Content.SUBSTANCE_USE and audience not in ASKS_FIRST:
        return None
    given = [a for a in sharing.authorisations() if audience in a.recipients and a.covers(topic) and a.stands(at, zone_name)]
    if any(_of_right(a.given_by, deciders, sharing, at, zone_name) for a in given):
        return None
    if given or (deciders and not shown):
        return Why.LEGAL_AUTHORITY_NOT_SHOWN
    return Why.PART_2_NOT_AUTHORISED if topic == Content.SUBSTANCE_USE else Why.SHARING_NOT_AUTHORISED


def _of_right(given_by: str, deciders: tuple[Party, ...], sharing: Sharing, at: Instant, zone_name: str) -> bool:
    """Whether a word counts: the member's own where nobody decides for them, else that of whoever showed the authority."""
    return not deciders if given_by == "" else sharing.holds_authority(given_by, SHARE, at, zone_name)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: SharingCommand, sharing: Sharing, zone_name: str, at: Instant) -> Decision:
    """Who may record it was checked by the member's own decider; a feed may name people, and gives nobody's word."""
    if command.by.startswith("source:") and not isinstance(command, NameParty):
        return Refusal("not_authorised", "by: a feed shows no document and gives nobody's word; somebody who saw it records it")
    known = {p.id: p for p in sharing.parties()}
    match command:
        case NameParty():
            return _name(command, known)
        case ShowAuthority(party=party, scope=scope, document=document, until=until):
            if refusal := _unknown(party, scope, known):
                return refusal
            if not 1 <= len(document) <= WORDS_LENGTH_MAX:
                return Refusal("document_missing", f"document: say what was seen, in at most {WORDS_LENGTH_MAX} characters")
            if until is not None and until < local_date(at, zone_name):
                return Refusal("document_expired", "until: lies back; a document that still holds must be seen")
            shown = AuthorityShown(party=party, scope=scope, document=document, until=until)
            return () if sharing.last_said(party, scope, at) == shown else (shown,)
        case EndAuthority(party=party, scope=scope, reason=reason):
            if refusal := _unknown(party, scope, known):
                return refusal
            ended = isinstance(sharing.last_said(party, scope, at), AuthorityEnded)
            return () if ended else (AuthorityEnded(party=party, scope=scope, reason=reason),)
        case AuthoriseDataSharing():
            return _authorise(command, sharing, known, zone_name, at)
        case RevokeDataSharing(authorisation=id, reason=reason):
            given = next((a for a in sharing.authorisations() if a.id == id), None)
            if given is None:
                return Refusal("unknown_authorisation", "authorisation: was never given; `throughline sharing` has their ids")
            return () if given.revoked_at is not None else (DataSharingRevoked(authorisation=id, reason=reason),)


def _name(command: NameParty, known: dict[str, Party]) -> Decision:
    if command.relation not in RELATIONS:
        return Refusal("unknown_relation", f"relation: must be one of {', '.join(RELATIONS)}")
    if command.party and command.party not in known:
        return Refusal("unknown_party", "party: is nobody who was named; leave it out for somebody new")
    if not command.party and len(known) >= PARTIES_MAX:
        return Refusal("too_many_parties", f"party: a member has at most {PARTIES_MAX}; put one of them right instead")
    if not command.party and not command.name:
        return Refusal("name_missing", "name: say who it is")
    party = command.party or f"party-{len(known) + 1}"
    was = known.get(party)
    if was is not None and (was.relation, command.name or was.name, command.phone or was.phone) == (
        command.relation,
        was.name,
        was.phone,
    ):
        return ()
    return (PartyNamed(party=party, relation=command.relation, name=command.name, phone=command.phone),)


def _unknown(party: str, scope: str, known: dict[str, Party]) -> Refusal | None:
    if party not in known:
        return Refusal("unknown_party", "party: is nobody who was named; name them first, or see `throughline sharing`")
    if scope not in SCOPES:
        return Refusal("unknown_scope", f"scope: must be one of {', '.join(SCOPES)}")
    return None


def _authorise(command: AuthoriseDataSharing, sharing: Sharing, known: dict[str, Party], zone_name: str, at: Instant) -> Decision:
    if command.content not in tuple(Content):
        return Refusal("unknown_content", f"content: must be one of {', '.join(Content)}")
    if not command.recipients or any(r not in RECIPIENTS for r in command.recipients):
        return Refusal("unknown_recipient", f"recipients: must name at least one of {', '.join(RECIPIENTS)}")
    if command.given_by and command.given_by not in known:
        return Refusal("unknown_party", "given_by: is nobody who was named; leave it out where the member gave it")
    if command.given_by and not sharing.holds_authority(command.given_by, SHARE, at, zone_name):
        return Refusal("authority_not_shown", f"given_by: has shown no authority to {SHARE}; record the document first")
    if command.expires_on is not None and command.expires_on < local_date(at, zone_name):
        return Refusal("expired_already", "expires_on: lies back; leave it out where it does not expire")
    if len(command.how) > WORDS_LENGTH_MAX:
        return Refusal("too_long", f"how: at most {WORDS_LENGTH_MAX} characters")
    recipients = tuple(dict.fromkeys(command.recipients))
    given = sharing.authorisations()
    if len(given) >= AUTHORISATIONS_MAX:
        return Refusal("too_many_authorisations", f"content: a member has at most {AUTHORISATIONS_MAX} authorisations")
    same = (command.content, recipients, command.given_by, command.expires_on)
    if any((a.content, a.recipients, a.given_by, a.expires_on) == same and a.stands(at, zone_name) for a in given):
        return ()
    return (
        DataSharingAuthorised(
            authorisation=f"authorisation-{len(given) + 1}",
            content=command.content,
            recipients=recipients,
            given_by=command.given_by,
            expires_on=command.expires_on,
            how=command.how,
        ),
    )

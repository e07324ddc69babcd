"""How staff and members speak with each other, or fail to: words that every process of an enrolled member's care shares."""

from __future__ import annotations

from enum import StrEnum


class Interaction(StrEnum):
    """How something was done. Only the first three are live exchanges (domain.md 1.10); the rest are attempts or paperwork."""

    IN_PERSON = "in_person"
    PHONE = "phone"
    VIDEO = "video"
    VOICEMAIL = "voicemail"
    TEXT = "text"
    PORTAL = "portal"
    LETTER = "letter"
    DOCUMENT = "document"


SYNCHRONOUS = (Interaction.IN_PERSON, Interaction.PHONE, Interaction.VIDEO)


class SpokenTo(StrEnum):
    """With whom. A talk with the ward nurse alone is no interaction with the member."""

    MEMBER = "member"
    CAREGIVER = "caregiver"
    FACILITY = "facility"
    PRACTICE = "practice"
    NOBODY = "nobody"


class AttemptOutcome(StrEnum):
    """How a try ended that did not become an exchange with the member or their caregiver."""

    NO_ANSWER = "no_answer"
    VOICEMAIL = "voicemail"
    MESSAGE_LEFT = "message_left"
    NOT_THERE = "not_there"
    REFUSED = "refused"

"""From a request in the log to a message with address and text: what is personal is unsealed here, at the moment of sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.channels.port import Failed, Outgoing
from activities.channels.templates import Letterhead, written
from domain.core import Instant, ProcessRef
from domain.member.facts import Channel
from domain.requests import MessageRequested
from eventlog.gateway import Gateway

ROLE = "role:"


@dataclass(frozen=True, slots=True)
class Addressing:
    """Finds the address of a recipient. `role_mailboxes`: role -> mail address; "" is for roles without one of their own."""

    gateway: Gateway
    role_mailboxes: Mapping[str, str] = field(default_factory=dict, repr=False)
    letterhead: Letterhead = field(default_factory=Letterhead)

    def outgoing(self, process: ProcessRef, asked: MessageRequested, key: str, now: Instant) -> Outgoing | Failed:
        """The message, ready to be sent, or why there is none."""
        found = self._address(asked, now)
        if isinstance(found, Failed):
            return found
        address, name = found
        text = written(asked.template, asked.language, self.letterhead, about=asked.about, process=process.stream)
        if text is None:
            return Failed(True, "no_such_template")
        return Outgoing(
            key=key,
            kind=asked.kind,
            process=process.stream,
            request=asked.key,
            recipient=asked.recipient,
            point=asked.point,
            language=text.language,
            address=address,
            subject=text.subject,
            body=text.body,
            name=name,
        )

    def _address(self, asked: MessageRequested, now: Instant) -> tuple[str, str] | Failed:
        if asked.recipient.startswith(ROLE):
            mailbox = self.role_mailboxes.get(asked.recipient.removeprefix(ROLE)) or self.role_mailboxes.get("")
            return (mailbox, "") if mailbox else Failed(True, "no_mailbox_for_role")
        kind = asked.recipient.partition("-")[0]
        state = self.gateway.load(asked.recipient).state
        if kind == "staff":
            return (state.email, state.name or "") if state.email else Failed(True, "no_mail_address")
        assert kind == "member", kind
        return _of_member(state, asked, now)


def _of_member(member: Any, asked: MessageRequested, now: Instant) -> tuple[str, str] | Failed:
    if member.erased:
        return Failed(True, "person_erased")
    point = member.points.get(asked.point)
    if point is None:
        usable = member.usable_points(Channel(asked.kind), now)
        point = usable[0] if usable else None
    if point is None or not point.value:
        return Failed(True, "no_contact_point")
    return point.value, " ".join(part for part in (member.given_name, member.family_name) if part)

"""E-mail over SMTP, to members and as alerts to staff. SMTP honours no idempotency key, so an unclear end is shown to a person."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formataddr
from typing import Literal

from activities.channels.port import SEND_SECONDS_MAX, Failed, Outgoing, Sent, Told, Unsure

Security = Literal["none", "starttls", "tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """Hands each message to one SMTP server. `sender` is the programme's own mail address."""

    host: str
    port: int
    sender: str
    sender_name: str = "Care team"
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None
    seconds_max: float = SEND_SECONDS_MAX / 2

    @property
    def idempotent(self) -> bool:
        return False

    def send(self, message: Outgoing) -> Told:
        try:
            letter = self._written(message)
        except ValueError:
            return Failed(True, "bad_address")
        try:
            server = self._connected()
        except smtplib.SMTPAuthenticationError:
            return Failed(False, "mail_server_refuses_us")
        except (OSError, smtplib.SMTPException):
            return Failed(False, "mail_server_away")
        try:
            return self._handed_over(server, letter)
        finally:
            _leave(server)

    def _handed_over(self, server: smtplib.SMTP, letter: EmailMessage) -> Told:
        try:
            server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as refused:
            codes = [code for code, _ in refused.recipients.values()]
            return _refused(max(codes, default=550), "address_refused")
        except smtplib.SMTPSenderRefused:
            return Failed(False, "mail_server_refuses_us")
        except smtplib.SMTPNotSupportedError:
            return Failed(True, "bad_address")
        except smtplib.SMTPResponseException as answer:
            return _refused(answer.smtp_code, "message_refused")
        except (OSError, smtplib.SMTPException):
            return Unsure()
        return Sent(str(letter["Message-ID"]))

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.ca_file)
        server: smtplib.SMTP
        if self.security == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=self.seconds_max, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.seconds_max)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            _leave(server)
            raise
        return server

    def _written(self, message: Outgoing) -> EmailMessage:
        letter = EmailMessage()
        letter["From"] = formataddr((self.sender_name, self.sender))
        letter["To"] = message.address
        letter["Subject"] = message.subject
        letter["Message-ID"] = f"<{message.key}@{self.sender.partition('@')[2] or 'localhost'}>"
        letter["Content-Language"] = message.language
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.body)
        if not message.address.partition("@")[2]:
            raise ValueError("no host in the mail address")
        return letter


def _refused(code: int, ours: str) -> Failed:
    return Failed(code >= 500, ours if code >= 500 else f"{ours}_for_now")


def _leave(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()

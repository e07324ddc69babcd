"""`send-hl7` and `import-members`: put a message or a file through the front door, as a hospital or a health plan does."""

from __future__ import annotations

import codecs
import re
import secrets
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.text import Text

from domain.staff.decider import OFFICE_ZONE
from intake.listening.mllp import LOOPBACK
from simulation.hospital import NoAnswer, send_over_mllp
from workers.cli import frame as f
from workers.cli.files import Full, show_receipt
from workers.cli.frame import Json, Stop
from workers.clock import clock_of
from workers.services import door_of
from workers.settings import Settings

SEND_MAX = 1_000
"""Messages of one file: more is a load test, and there is another tool for that."""

_BEGINNING = re.compile(rb"(?:\A|\r+)(?=MSH[^\sA-Za-z0-9])")
_BATCH = (b"FHS", b"BHS")
"""Lines that may stand before the first message."""


class Trigger(StrEnum):
    A01 = "A01"
    A03 = "A03"
    A04 = "A04"
    A08 = "A08"
    A11 = "A11"
    A13 = "A13"


def send_hl7(
    file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="A file with one or several messages.")] = None,
    to: Annotated[str | None, typer.Option(help="host:port of an MLLP listener without TLS; left out: our own.")] = None,
    trigger: Annotated[Trigger, typer.Option(help="Without a file: what happened.")] = Trigger.A01,
    cin: Annotated[str | None, typer.Option(help="Without a file: the patient's CIN.")] = None,
    name: Annotated[str, typer.Option(help="Family and given name, as OKAFOR^INES.")] = "",
    born: Annotated[str, typer.Option(help="Birth date, as 1961-07-09.")] = "",
    visit: Annotated[str | None, typer.Option(help="Visit number; left out: one is made up.")] = None,
    facility: Annotated[str, typer.Option(help="What messages call the hospital.")] = "",
    patient_class: Annotated[str, typer.Option("--class", help="I inpatient, E emergency, O outpatient.")] = "I",
    disposition: Annotated[str, typer.Option(help="Discharge disposition, such as 01.")] = "01",
    at: Annotated[str | None, typer.Option("--at", help="When it happened (office time); left out: now.")] = None,
    json: Json = False,
) -> None:
    """Send HL7 v2 messages over MLLP and show each acknowledgement.

    Examples:

        throughline send-hl7 admissions.hl7 --to 127.0.0.1:2575

        throughline send-hl7 --trigger A03 --cin 91234567A --name OKAFOR^INES --born 1961-07-09 --visit V-1001
    """
    settings = f.asked.load()
    host, port = where_to(to, settings)
    if file is not None:
        messages = _messages(file.read_bytes())
    else:
        if not cin:
            raise Stop("Say whose message it is.", field="--cin", remedy="give --cin, or a file", status=f.USAGE)
        now = clock_of(settings.throughline_home, movable=settings.throughline_mode != "production").now()
        messages = (
            built(
                trigger.value,
                cin=cin,
                name=name,
                born=born,
                visit=visit or f"V-{secrets.token_hex(4)}",
                facility=facility,
                patient_class=patient_class,
                disposition=disposition,
                at=_instant(at, now),
                now=now,
            ),
        )
    try:
        answers = send_over_mllp(messages, host, port)
    except (NoAnswer, OSError) as error:
        raise Stop(
            f"Nobody acknowledged at {host}:{port} ({type(error).__name__}).",
            code="no_acknowledgement",
            status=f.AWAY,
            remedy="is the listener up? `throughline up` starts it. What was not acknowledged must be sent again.",
        ) from None
    told = [_code(answer) for answer in answers]
    if json:
        f.as_json([{"code": code, "acknowledgement": a.decode("utf-8", "replace")} for code, a in zip(told, answers, strict=True)])
    else:
        for code, answer in zip(told, answers, strict=True):
            f.out.print(
                Text(code, "green" if code in ("AA", "CA") else "bold red"),
                Text(answer.decode("utf-8", "replace").replace("\r", "\n  ").strip(), "dim"),
            )
    if any(code not in ("AA", "CA", "") for code in told):
        raise typer.Exit(f.REFUSED)


def import_members(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The plan's member file (CSV or XLSX).")],
    plan: Annotated[str, typer.Option(help="The health plan that sent it.")] = "default",
    full_roster: Full = None,
    confirmed: Annotated[bool, typer.Option("--confirmed", help="Your word that a shrunken full roster is right.")] = False,
    json: Json = False,
) -> None:
    """Import a health plan's member file. Rows that cannot be read are named; the others are applied. See also `files`.

    Exit status 1 where the file stopped, or where it has rows and every one of them was rejected.

    Example:

        throughline import-members roster-2026-11.csv --plan default
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            with f.progress("Rows", quiet=json) as bar:
                receipt = door.files.import_file(
                    file.read_bytes(), plan=plan, file_name=file.name, full_roster=full_roster, confirmed=confirmed,
                    peer="command-line", progress=bar,
                )  # fmt: skip
            show_receipt(door.files, receipt, json=json)
        finally:
            door.close()


def built(
    trigger: str,
    *,
    cin: str,
    name: str,
    born: str,
    visit: str,
    facility: str,
    patient_class: str,
    disposition: str,
    at: datetime,
    now: datetime,
) -> bytes:
    """A message of our own: enough for the front door, for trying things out."""
    stamp, local = f"{now:%Y%m%d%H%M%S+0000}", f"{at.astimezone(ZoneInfo(OFFICE_ZONE)):%Y%m%d%H%M%S%z}"
    structure = {"A01": "A01", "A03": "A03", "A04": "A01", "A08": "A01", "A11": "A09", "A13": "A01"}[trigger]
    out = trigger == "A03"
    pv1 = [""] * 46
    pv1[0], pv1[1], pv1[2], pv1[3] = "PV1", "1", _clean(patient_class), f"^^^{_clean(facility)}"
    pv1[19], pv1[36], pv1[44], pv1[45] = (
        _clean(visit),
        _clean(disposition) if out else "",
        "" if out else local,
        local if out else "",
    )
    segments = (
        f"MSH|^~\\&|CLI|{_clean(facility)}|THROUGHLINE|THROUGHLINE|{stamp}||ADT^{trigger}^ADT_{structure}|{secrets.token_hex(8)}|P|2.5.1",
        f"EVN|{trigger}|{stamp}||||{local}",
        f"PID|1||{_clean(cin)}^^^MEDI-CAL^MA||{name.replace('|', '')}||{born.replace('-', '')}",
        "|".join(pv1),
    )
    return ("\r".join(segments) + "\r").encode()


def _clean(text: str) -> str:
    return "".join(c for c in text if c not in "|^~\\&\r\n")


def _messages(raw: bytes) -> tuple[bytes, ...]:
    """The messages of a file: each begins with a line MSH, line ends of any kind, MLLP frames or not, in a batch or not."""
    text = (
        raw.replace(b"\x0b", b"").replace(b"\x1c", b"").replace(b"\r\n", b"\r").replace(b"\n", b"\r").removeprefix(codecs.BOM_UTF8)
    )
    before, *messages = _BEGINNING.split(text.lstrip())
    if not messages or any(line.strip() and not line.startswith(_BATCH) for line in before.split(b"\r")):
        raise Stop("is no HL7 v2: it does not begin with MSH.", field="file", remedy="give one of messages that begin with MSH|")
    if len(messages) > SEND_MAX:
        raise Stop(f"holds {len(messages)} messages.", field="file", remedy=f"give one with 1 to {SEND_MAX} of them")
    return tuple(message.strip(b"\r") + b"\r" for message in messages)


def where_to(to: str | None, settings: Settings) -> tuple[str, int]:
    """Where to send. Our own listener takes what comes without TLS on another port, once it has a certificate."""
    if to is None and settings.throughline_hl7_certificate is None:
        return settings.throughline_host, settings.throughline_hl7_port
    if to is None:
        if settings.throughline_hl7_loopback_port is None:
            raise Stop(
                "Our own listener takes TLS only, which this command does not speak.", field="--to", code="tls_only",
                remedy="set THROUGHLINE_HL7_LOOPBACK_PORT, for the listener and for this command, or say where to",
            )  # fmt: skip
        return LOOPBACK, settings.throughline_hl7_loopback_port
    name, _, number = to.rpartition(":")
    if not name or not number.isdigit() or not 0 < int(number) < 65_536:
        raise Stop("is no address.", field="--to", remedy="write host:port, such as 127.0.0.1:2575", status=f.USAGE)
    return name, int(number)


def _instant(at: str | None, now: datetime) -> datetime:
    if at is None:
        return now
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise Stop("is no instant.", field="--at", remedy="write 2026-11-20T15:05", status=f.USAGE) from None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(OFFICE_ZONE))


def _code(answer: bytes) -> str:
    """MSA-1 of an acknowledgement."""
    for segment in answer.split(b"\r"):
        if segment.startswith(b"MSA"):
            return segment[4:].split(b"|")[0].decode("ascii", "replace")
    return ""


def mount(app: typer.Typer) -> None:
    app.command("send-hl7", rich_help_panel="Front door")(send_hl7)
    app.command("import-members", rich_help_panel="Front door")(import_members)

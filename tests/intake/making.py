"""Makes the messages that the front door's tests send: one function, so that a test shows only what it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody that a message is about. Invented."""

    cin: str = "91234567A"
    mrn: str = "MRN-1001"
    family: str = "Quillfeather"
    given: str = "Marisol"
    born: str = "19610412"
    sex: str = "F"
    phone: str = "(661) 555-0134"


MARISOL = Person()
TOMAS = Person(cin="98765432D", mrn="MRN-2002", family="Brackwater", given="Tomas", born="19480930", sex="M")


def adt(
    trigger: str,
    *,
    person: Person = MARISOL,
    control_id: str = "C1",
    sent: str = "20260310160000",
    visit: str = "V-77",
    account: str = "",
    stay_class: str = "I",
    admitted: str = "",
    discharged: str = "",
    disposition: str = "",
    recorded: str = "",
    occurred: str = "",
    evn1: str | None = None,
    facility: str = "VALLEYGEN",
    location: str = "4W^401^A^VALLEYGEN",
    processing: str = "P",
    version: str = "2.5.1",
    charset: str = "",
    accept_ack: str = "",
    application_ack: str = "",
    message_type: str = "ADT",
    death: str = "",
    died_at: str = "",
    expected: str = "",
    expected_admission: str = "",
    prior_location: str = "",
    prior_visit: str = "",
    alternate_visit: str = "",
    cin: str | None = None,
    end: str = "\r",
) -> str:
    """An ADT message as text. What is empty is left out of its field; `end` ends every segment."""
    cin = person.cin if cin is None else cin
    msh = [
        "MSH",
        "^~\\&",
        "VALLEY",
        facility,
        "THROUGHLINE",
        "ECM",
        sent,
        "",
        f"{message_type}^{trigger}",
        control_id,
        processing,
        version,
    ]
    msh += ["", "", accept_ack, application_ack, "", charset]
    evn = ["EVN", trigger if evn1 is None else evn1, recorded, "", "", "", occurred]
    ids = "~".join(part for part in (f"{person.mrn}^^^VGH^MR" if person.mrn else "", f"{cin}^^^MEDI-CAL^MA" if cin else "") if part)
    pid = {3: ids, 5: f"{person.family}^{person.given}", 7: person.born, 8: person.sex, 18: account, 29: died_at, 30: death}
    pv1 = {
        2: stay_class, 3: location, 6: prior_location, 19: visit, 36: disposition, 44: admitted, 45: discharged,
        50: alternate_visit,
    }  # fmt: skip
    segments = ["|".join(msh), "|".join(evn), _segment("PID", pid), _segment("PV1", pv1)]
    if expected or expected_admission:
        segments.append(_segment("PV2", {8: expected_admission, 9: expected}))
    if prior_visit:
        segments.insert(3, _segment("MRG", {1: f"{person.mrn}^^^VGH^MR", 5: prior_visit}))
    return end.join(segments) + end


def _segment(name: str, fields: dict[int, str]) -> str:
    return "|".join([name, *(fields.get(number, "1" if number == 1 else "") for number in range(1, max(fields) + 1))]).rstrip("|")


CSV_HEADER = "CIN,Last Name,First Name,DOB,Gender,Language,Phone,Assignment Effective Date"


def member_file(*people: Person, header: str = CSV_HEADER) -> bytes:
    """A plan's member file with these people."""
    rows = [f"{p.cin},{p.family},{p.given},{p.born},{p.sex},English,{p.phone},2026-03-01" for p in people]
    return "\r\n".join([header, *rows, ""]).encode()

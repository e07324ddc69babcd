"""Reads referrals as FHIR R4 ServiceRequests: one by itself with its Patient contained, or a Bundle with both (domain.md 2.12).

Tolerant towards what is absent, as senders fill little; strict where without it nobody could be found: a request without a patient
is refused at the door.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.episode.referrals import ReferralSource, Urgency
from intake.files.memberfile import dialled
from intake.reading import fhir
from intake.reading.fhir import Refused
from intake.reading.times import Zone
from intake.referrals.referral import POPULATIONS_MAX, InboundReferral
from intake.senders.sources import Source

SERVICE_REQUEST: Final = "ServiceRequest"
REQUESTS_MAX: Final = 100
_TAKEN_BACK: Final = frozenset({"revoked", "entered-in-error"})
_NOT_YET: Final = frozenset({"draft"})
_EXPEDITED: Final = frozenset({"urgent", "asap", "stat"})
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_NAME_MAX: Final = 200
_WORDS_MAX: Final = 2_000

_OF_RESOURCE: Final = {
    "Practitioner": ReferralSource.PHYSICIAN,
    "PractitionerRole": ReferralSource.PHYSICIAN,
    "Patient": ReferralSource.MEMBER,
    "RelatedPerson": ReferralSource.FAMILY,
    "Organization": ReferralSource.HOSPITAL,
}


@dataclass(frozen=True, slots=True)
class Requests:
    """The ServiceRequests of a body, and every resource by each name that a reference may use."""

    id: str
    requests: tuple[dict[str, Any], ...]
    resources: dict[str, dict[str, Any]]


def read_requests(raw: bytes) -> Requests | Refused:
    """The requests of a body, each with a patient that is there."""
    try:
        body = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return Refused(400, "invalid", SERVICE_REQUEST, "the body is not JSON in UTF-8; send it as application/fhir+json")
    kind = body.get("resourceType") if isinstance(body, dict) else None
    if kind not in ("Bundle", SERVICE_REQUEST):
        return Refused(400, "invalid", "resourceType", "send a ServiceRequest, or a Bundle with one")
    entries = [{"resource": body}] if kind == SERVICE_REQUEST else fhir.items_of(body, "entry")
    resources: dict[str, dict[str, Any]] = {}
    for entry in entries:
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        id = fhir.text_of(resource, "id")
        for name in (fhir.text_of(entry, "fullUrl"), f"{resource.get('resourceType')}/{id}", f"urn:uuid:{id}"):
            resources.setdefault(name, resource)
    requests = [r for e in entries if isinstance(r := e.get("resource"), dict) and r.get("resourceType") == SERVICE_REQUEST]
    if not requests:
        return Refused(422, "required", "Bundle.entry", "the Bundle has no ServiceRequest; send at least one")
    if len(requests) > REQUESTS_MAX:
        return Refused(413, "too-long", "Bundle.entry", f"send at most {REQUESTS_MAX} ServiceRequests at once")
    found = Requests(fhir.text_of(body, "id"), tuple(requests), resources)
    for request in requests:
        if fhir.text_of(request, "status") in _NOT_YET:
            return Refused(422, "business-rule", "ServiceRequest.status", "a draft asks for nothing yet; send it once it is active")
        if not fhir.text_of(request.get("subject"), "reference"):
            return Refused(422, "required", "ServiceRequest.subject", "refer to the Patient, contained or in the Bundle")
        if _resolved(found, request, request.get("subject")).get("resourceType") != "Patient":
            return Refused(
                422, "not-found", "ServiceRequest.subject", "the Patient that it names is neither contained nor in the Bundle"
            )
    return found


def taken_apart(raw: bytes, requests: Requests) -> list[bytes]:
    """Each request as a Bundle of its own, with what it refers to and the coverage of its patient, so that none of them holds what
    is said of the others' patients; a body with one request as it came."""
    if len(requests.requests) == 1:
        return [raw]
    return [_alone(requests, request) for request in requests.requests]


def _alone(requests: Requests, request: dict[str, Any]) -> bytes:
    patient = _resolved(requests, request, request.get("subject"))
    coverages = (r for r in requests.resources.values() if r.get("resourceType") == "Coverage" and _covers(requests, r, patient))
    wanted = [("", resource) for resource in {id(r): r for r in coverages}.values()]
    seen: set[str] = set()
    looking: list[object] = [request, *(resource for _, resource in wanted)]
    while looking:
        of = looking.pop()
        if isinstance(of, list):
            looking += of
        elif isinstance(of, dict):
            looking += of.values()
            name = fhir.text_of(of, "reference")
            resource = requests.resources.get(name)
            if resource is not None and name not in seen and resource.get("resourceType") != SERVICE_REQUEST:
                seen.add(name)
                wanted.append((name, resource))
                looking.append(resource)
    entries = [{"resource": request}, *({"fullUrl": name, "resource": resource} for name, resource in wanted)]
    said = {"resourceType": "Bundle", "id": requests.id, "type": "collection", "entry": entries}
    return json.dumps(said, ensure_ascii=False, sort_keys=True).encode()


def _covers(requests: Requests, coverage: dict[str, Any], patient: dict[str, Any]) -> bool:
    said = _resolved(requests, coverage, coverage.get("beneficiary"))
    return not said or said is patient


def external_id(requests: Requests, number: int) -> str:
    """The sender's own id of a request: its first identifier, or its id; empty where it has neither."""
    request = requests.requests[number]
    said = next((value for i in fhir.items_of(request, "identifier") if (value := fhir.text_of(i, "value"))), "")
    return (said or fhir.text_of(request, "id"))[:100]


def unknown_plan(requests: Requests, plans: frozenset[str]) -> str:
    """What the coverage of a request calls its plan, where that is none of `plans`; empty where there is no such request. What is
    taken back may name anything."""
    named = (_plans_of(requests, r) for r in requests.requests if fhir.text_of(r, "status") not in _TAKEN_BACK)
    return next((said[0] for said in named if said and plans.isdisjoint(said)), "")


def read_request(requests: Requests, number: int, source: Source, received_at: datetime, plans: frozenset[str]) -> InboundReferral:
    """What one request says. Its plan is the first of `plans` that its coverages name, else what they name; of a request whose
    coverages name none, the source's."""
    request = requests.requests[number]
    patient = _resolved(requests, request, request.get("subject"))
    about = fhir.Bundle(requests.id, "", {}, "", request, dict(_named(requests, request)))
    keys, _, _ = fhir.patient_of(about, source, received_at, Zone(source.timezone))
    named = _plans_of(requests, request)
    requester = _resolved(requests, request, request.get("requester"))
    telecoms = (
        fhir.text_of(t, "value") for t in fhir.items_of(patient, "telecom") if fhir.text_of(t, "system") in ("phone", "sms")
    )
    languages = (fhir.text_of(c, "code") for item in fhir.items_of(patient, "communication")
                 for c in fhir.items_of(item.get("language"), "coding"))  # fmt: skip
    return InboundReferral(
        person=keys,
        plan=next((plan for plan in named if plan in plans), named[0] if named else source.plan_of_referrals),
        source=_OF_RESOURCE.get(str(requester.get("resourceType")), ReferralSource.HOSPITAL),
        external_id=external_id(requests, number),
        organisation=_organisation(requests, request, requester)[:_NAME_MAX],
        referred_by=(_person_name(requester) or fhir.text_of(request.get("requester"), "display"))[:_NAME_MAX],
        reason=_reason(request)[:_WORDS_MAX],
        urgency=Urgency.EXPEDITED if fhir.text_of(request, "priority") in _EXPEDITED else Urgency.ROUTINE,
        populations=tuple(dict.fromkeys(_populations(request)))[:POPULATIONS_MAX],
        phone=next((dialled(number) for number in telecoms if number), ""),
        language=next((code for code in languages if code), "")[:35],
        withdrawn=fhir.text_of(request, "status") in _TAKEN_BACK,
    )


def _named(requests: Requests, request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every resource in sight of a request, by the names that it may use."""
    yield from requests.resources.items()
    yield from ((f"#{fhir.text_of(c, 'id')}", c) for c in fhir.items_of(request, "contained"))


def _resolved(requests: Requests, request: dict[str, Any], reference: object) -> dict[str, Any]:
    """The resource of a Reference: contained, or in the Bundle; empty where it is neither."""
    name = fhir.text_of(reference, "reference")
    return dict(_named(requests, request)).get(name, {}) if name else {}


def _plans_of(requests: Requests, request: dict[str, Any]) -> tuple[str, ...]:
    """What the coverages of a request's patient call their plan, written as our ids are."""
    patient = _resolved(requests, request, request.get("subject"))
    in_sight = {id(resource): resource for _, resource in _named(requests, request)}.values()
    found: list[str] = []
    for coverage in in_sight:
        if coverage.get("resourceType") != "Coverage" or not _covers(requests, coverage, patient):
            continue
        for payor in fhir.items_of(coverage, "payor"):
            for said in (fhir.text_of(payor.get("identifier"), "value"), fhir.text_of(payor, "display")):
                plain = "-".join(said.casefold().split())
                if _PLAN.fullmatch(plain):
                    found.append(plain)
    return tuple(dict.fromkeys(found))


def _organisation(requests: Requests, request: dict[str, Any], requester: dict[str, Any]) -> str:
    if requester.get("resourceType") == "Organization":
        return fhir.text_of(requester, "name")
    named = requester.get("organization")
    return fhir.text_of(_resolved(requests, request, named), "name") or fhir.text_of(named, "display")


def _person_name(requester: dict[str, Any]) -> str:
    name = next(iter(fhir.items_of(requester, "name")), {})
    return fhir.text_of(name, "text") or " ".join(
        part for part in (*fhir.texts_of(name, "given"), fhir.text_of(name, "family")) if part
    )


def _reason(request: dict[str, Any]) -> str:
    said = [
        *(_concept(c) for c in fhir.items_of(request, "reasonCode")),
        *(fhir.text_of(n, "text") for n in fhir.items_of(request, "note")),
    ]
    return "; ".join(part for part in said if part)


def _concept(concept: dict[str, Any]) -> str:
    shown = (fhir.text_of(c, "display") or fhir.text_of(c, "code") for c in fhir.items_of(concept, "coding"))
    return fhir.text_of(concept, "text") or next((word for word in shown if word), "")


def _populations(request: dict[str, Any]) -> Iterator[str]:
    """Populations of focus, as codes of the order's detail."""
    for concept in fhir.items_of(request, "orderDetail"):
        for coding in fhir.items_of(concept, "coding"):
            if _CODE.fullmatch(code := fhir.text_of(coding, "code")):
                yield code

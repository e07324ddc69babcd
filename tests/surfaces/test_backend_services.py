"""SMART backend services: a signed assertion becomes a short-lived token, once, and nothing else does; and what FHIR clients are
told when something is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from api.referrals import SERVICE_REQUEST_EXAMPLE
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.staff.facts import Role
from eventlog.clock import FixedClock
from intake.senders.clients import allows
from intake.senders.sources import SourcesInvalid, load_sources
from tests.surfaces.conftest import CIN, MONDAY, PLANTED_NAME, World, open_world

TOKEN_URL = "http://127.0.0.1:8470/v1/fhir/token"
NO_KEY = "sub, kid: no key that is registered for this client signed it; give the programme client id and JWKS"
"""The same for a client that is none and for a wrong key: neither shall tell which clients there are."""
RSA_KEY, EC_KEY = rsa.generate_private_key(65_537, 2048), ec.generate_private_key(ec.SECP384R1())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value: int, length: int) -> str:
    return b64(value.to_bytes(length))


def jwks() -> list[dict[str, str]]:
    n, point = RSA_KEY.public_key().public_numbers(), EC_KEY.public_key().public_numbers()
    return [
        {"kty": "RSA", "kid": "r1", "alg": "RS384", "n": number(n.n, 256), "e": number(n.e, 3)},
        {"kty": "EC", "kid": "e1", "crv": "P-384", "x": number(point.x, 48), "y": number(point.y, 48)},
    ]


def rs384(signed: bytes) -> bytes:
    return RSA_KEY.sign(signed, padding.PKCS1v15(), hashes.SHA384())


def es384(signed: bytes) -> bytes:
    r, s = decode_dss_signature(EC_KEY.sign(signed, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


def assertion(world: World, sign: Callable[[bytes], bytes] = rs384, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A JWT as a client signs it."""
    head = {"alg": "RS384", "kid": "r1", "typ": "JWT"} | (header or {})
    said = {
        "iss": "brendan-client", "sub": "brendan-client", "aud": TOKEN_URL, "jti": str(uuid4()),
        "exp": (world.clock.now() + timedelta(minutes=4)).timestamp(),
    } | claims  # fmt: skip
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(said).encode())}".encode()
    return f"{signed.decode()}.{b64(sign(signed))}"


def ask(world: World, jwt: str, **more: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials", "client_assertion": jwt,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    } | more  # fmt: skip
    return world.api.post("/v1/fhir/token", data=form)


@pytest.fixture(scope="module")
def smart(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, with a source that has a SMART client, and one that may send two messages a minute."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "brendan.jwks").write_text(json.dumps({"keys": jwks()}))
    (folder / "sources.toml").write_text(
        '[[source]]\nname = "st-brendan"\nclient_id = "brendan-client"\njwks_file = "brendan.jwks"\n'
        'scopes = ["system/Bundle.c"]\nmessages_per_minute = 2\n'
        '[[source.facilities]]\nid = "st-brendan"\nname = "St. Brendan"\n'
        '[[source]]\nname = "county"\nclient_id = "county-client"\njwks_file = "brendan.jwks"\ninquiries_per_hour = 60\n'
        'scopes = ["system/Bundle.c", "system/ServiceRequest.cu", "system/CareTeam.read"]\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THROUGHLINE_SOURCES", str(folder / "sources.toml"))
        yield from open_world(module_database, FixedClock(MONDAY))


@pytest.mark.parametrize(("sign", "header"), [(rs384, {}), (es384, {"alg": "ES384", "kid": "e1"}), (rs384, {"kid": ""})])
def test_a_signed_assertion_becomes_a_token_for_five_minutes(
    smart: World, sign: Callable[[bytes], bytes], header: dict[str, str]
) -> None:
    told = ask(smart, assertion(smart, sign, header))
    assert told.status_code == 200 and told.headers["Cache-Control"] == "no-store", told.text
    said = told.json()
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("bearer", 300, "system/Bundle.c")
    token = {"Authorization": f"Bearer {said['access_token']}"}
    assert smart.api.get("/v1/sent-messages", params={"control_id": "x"}, headers=token).json() == []
    assert smart.api.get("/v1/whoami", headers=token).json()["subject"] == "source:st-brendan"
    sent = smart.api.post("/v1/fhir/$process-message", content=b"{}", headers={**token, "Content-Type": "application/fhir+json"})
    assert sent.status_code in (400, 429)
    elsewhere = smart.api.post("/v1/hl7", content=b"MSH|", headers={**token, "Content-Type": "application/hl7-v2"})
    assert forbidden(elsewhere) == "This is for no backend service."
    smart.clock.advance(timedelta(minutes=5))
    assert smart.api.get("/v1/sent-messages", params={"control_id": "x"}, headers=token).status_code == 401


def test_what_a_client_got_is_forgotten_when_it_has_expired(smart: World) -> None:
    def kept() -> list[int]:
        with smart.system.pool.connection() as conn:
            return [row[0] for row in conn.execute("SELECT count(*) FROM api_token GROUP BY scopes IS NULL ORDER BY 1").fetchall()]

    smart.clock.advance(timedelta(minutes=5))
    for expected in (1, 2):
        assert ask(smart, assertion(smart)).status_code == 200
        assert kept() == [expected, len(smart.tokens)], "tokens that people made are theirs to look at"


NOTIFIES, REFERS, INQUIRES = "system/Bundle.c", "system/ServiceRequest.c", "system/CareTeam.s"
INQUIRY = {"cin": CIN, "family_name": PLANTED_NAME, "birth_date": "1959-04-03"}


def forbidden(answer: httpx.Response) -> str:
    """What somebody is told whose scopes do not cover what they ask: as FHIR, wherever it is."""
    assert answer.status_code == 403 and answer.headers["Content-Type"] == "application/fhir+json", answer.text
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="throughline", error="insufficient_scope"')
    (issue,) = answer.json()["issue"]
    assert (answer.json()["resourceType"], issue["severity"], issue["code"]) == ("OperationOutcome", "error", "forbidden")
    return str(issue["diagnostics"])


def county(world: World, scope: str) -> dict[str, str]:
    told = ask(world, assertion(world, iss="county-client", sub="county-client"), scope=scope)
    assert told.status_code == 200 and told.json()["scope"] == scope, told.text
    return {"Authorization": f"Bearer {told.json()['access_token']}"}


@pytest.mark.parametrize(
    "scope", [NOTIFIES, REFERS, "system/ServiceRequest.cu", INQUIRES, "system/CareTeam.rs", f"{REFERS} {INQUIRES}"]
)
def test_a_token_does_what_its_scopes_say_and_nothing_else(smart: World, scope: str) -> None:
    """Whatever else the client might have asked for."""
    token, fhir = county(smart, scope), {"Content-Type": "application/fhir+json"}
    told = {
        NOTIFIES: [
            smart.api.post("/v1/fhir/$process-message", content=b"{}", headers={**token, **fhir}),
            smart.api.post("/v1/fhir/subscription-notifications", content=b"{}", headers={**token, **fhir}),
        ],
        REFERS: [
            smart.api.post("/v1/fhir/ServiceRequest", content=json.dumps(SERVICE_REQUEST_EXAMPLE), headers={**token, **fhir}),
            smart.api.post("/v1/referrals", json={}, headers=token),
            smart.api.get(f"/v1/referrals/{uuid4()}/receipt", headers=token),
        ],
        INQUIRES: [smart.api.post("/v1/enrolment-inquiries", json=INQUIRY, headers=token)],
    }  # fmt: skip
    for needed, answers in told.items():
        for answer in answers:
            if any(one.split(".")[0] == needed.split(".")[0] for one in scope.split()):
                assert answer.status_code in (200, 201, 400, 404, 422), answer.text
            else:
                assert forbidden(answer) == f"This needs the scope {needed}; ask for it with the token."
    followed = smart.api.get("/v1/sent-messages", params={"control_id": "x"}, headers=token)
    if scope in (INQUIRES, "system/CareTeam.rs"):
        assert forbidden(followed).startswith("This needs the scope system/Bundle.c or system/ServiceRequest.c;")
    else:
        assert followed.status_code == 200
    for path in ("/v1/hl7", "/v1/files"):
        assert smart.api.post(path, content=b"MSH|", headers={**token, "Content-Type": "application/hl7-v2"}).status_code == 403


def test_a_backend_refers_a_patient_and_follows_its_referral(smart: World) -> None:
    token = county(smart, REFERS)
    asked = SERVICE_REQUEST_EXAMPLE | {"identifier": [{"value": "COUNTY-1"}]}
    kept = smart.api.post(
        "/v1/fhir/ServiceRequest", content=json.dumps(asked), headers={**token, "Content-Type": "application/fhir+json"}
    )
    assert kept.status_code == 201 and kept.json()["issue"][0]["diagnostics"] == "kept: 1 referral", kept.text
    receipt = smart.api.get(kept.headers["Location"], headers=token)
    assert (receipt.status_code, receipt.json()["state"]) == (200, "received")
    row = smart.door.inbox.show(UUID(receipt.json()["inbox_id"])).row
    assert (row.source_id, row.control_id) == ("county", "COUNTY-1#0")


def test_a_backend_asks_who_leads_its_patients_care(smart: World) -> None:
    """And where its source may not ask, the right scope does not help."""
    smart.do(AssignLeadCareManager(stream=smart.episode, by=smart.supervisor, staff=smart.care_manager))
    smart.do(Enrol(stream=smart.episode, by=smart.care_manager, agreed="verbal", how="phone"))
    answer = smart.api.post("/v1/enrolment-inquiries", json=INQUIRY, headers=county(smart, INQUIRES))
    assert answer.status_code == 200 and answer.json()["care_manager"]["name"] == "Dana Whitfield", answer.text
    source = smart.door.sources.named("county")
    object.__setattr__(source, "inquiries_per_hour", 0)
    refused = smart.api.post("/v1/enrolment-inquiries", json=INQUIRY, headers=county(smart, INQUIRES))
    assert (refused.status_code, refused.json()["code"]) == (403, "source_may_not_ask")


@pytest.mark.parametrize(
    "scope",
    [
        "system/Bundle.*",
        "system/*.c",
        "system/CareTeam.cruds",
        "system/CareTeam.*",
        "system/CareTeam.s?status=active",
        "CareTeam.s",
    ],
)
def test_nobody_asks_for_more_than_is_registered(smart: World, scope: str) -> None:
    told = ask(smart, assertion(smart, iss="county-client", sub="county-client"), scope=scope)
    assert (told.status_code, told.json()["error"]) == (400, "invalid_scope"), told.text


@pytest.mark.parametrize(
    ("granted", "wanted", "covered"),
    [
        ("system/Bundle.c", "system/Bundle.c", True), ("system/Bundle.cruds", "system/Bundle.c", True),
        ("system/Bundle.write", "system/Bundle.c", True), ("system/Bundle.*", "system/Bundle.cd", True),
        ("system/*.cud", "system/Bundle.c", True), ("system/CareTeam.read", "system/CareTeam.s", True),
        ("system/*.*", "system/*.read", True), ("system/Bundle.c", "system/Bundle.*", False),
        ("system/Bundle.read", "system/Bundle.c", False), ("system/Bundle.cs", "system/Bundle.rs", False),
        ("system/Bundle.c", "system/*.c", False), ("user/Bundle.c", "system/Bundle.c", False),
        ("system/Bundle.c?x=1", "system/Bundle.c", False), ("system/Bundle.", "system/Bundle.", False),
        ("system/Bundle.xc", "system/Bundle.c", False), ("*", "system/Bundle.c", False),
    ],
)  # fmt: skip
def test_what_a_scope_covers(granted: str, wanted: str, covered: bool) -> None:
    assert allows((granted,), wanted) is covered


def test_an_assertion_for_another_address_does_not_count_by_calling_us_so(smart: World) -> None:
    form = {
        "grant_type": "client_credentials", "client_assertion": assertion(smart, aud="http://partner.example/v1/fhir/token"),
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }  # fmt: skip
    answer = smart.api.post("/v1/fhir/token", data=form, headers={"Host": "partner.example"})
    assert answer.status_code == 401 and answer.json()["error_description"].startswith(f"aud: must be {TOKEN_URL}")


def test_an_assertion_counts_once(smart: World) -> None:
    jwt = assertion(smart)
    assert ask(smart, jwt).status_code == 200
    again = ask(smart, jwt)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert again.json()["error_description"].startswith("jti: was presented before")
    smart.clock.advance(timedelta(minutes=6))
    assert ask(smart, jwt).json()["error_description"].startswith("exp: has passed"), "forgotten, and of no use any more"


@pytest.mark.parametrize(
    ("header", "claims", "because"),
    [
        ({"alg": "none"}, {}, "alg: sign with RS384 or ES384"),
        ({"alg": "HS384"}, {}, "alg: sign with"),
        ({"alg": "ES384"}, {}, NO_KEY),
        ({"kid": "r2"}, {}, NO_KEY),
        ({}, {"aud": "https://elsewhere.example/token"}, f"aud: must be {TOKEN_URL}"),
        ({}, {"iss": "somebody"}, "iss, sub: both"),
        ({}, {"iss": "stranger", "sub": "stranger"}, NO_KEY),
        ({"kid": "r2"}, {"iss": "stranger", "sub": "stranger"}, NO_KEY),
        ({}, {"exp": 4_000_000_000}, "exp: may lie five minutes ahead"),
        ({}, {"exp": 1e30}, "exp: write seconds"),
        ({}, {"exp": "soon"}, "exp: write seconds"),
        ({}, {"iat": 4_000_000_000}, "iat: lies ahead"),
        ({}, {"jti": ""}, "jti: give every"),
        ({}, {"jti": "a\0b"}, "jti: give every"),
        ({}, {"jti": "\ud800"}, "jti: give every"),
    ],
)
def test_what_proves_nothing_is_refused_and_says_why(
    smart: World, header: dict[str, str], claims: dict[str, Any], because: str
) -> None:
    told = ask(smart, assertion(smart, header=header, **claims))
    assert (told.status_code, told.json()["error"]) == (401, "invalid_client")
    assert told.json()["error_description"].startswith(because)


def test_a_forged_or_broken_assertion_is_refused(smart: World) -> None:
    other = rsa.generate_private_key(65_537, 2048)
    forged = assertion(smart, lambda signed: other.sign(signed, padding.PKCS1v15(), hashes.SHA384()))
    head, body, signature = assertion(smart).split(".")
    changed = b64(json.dumps({"iss": "brendan-client", "sub": "brendan-client", "admin": True}).encode())
    for jwt in (forged, f"{head}.{changed}.{signature}", "a.b", "a.b.c", f"{head}.{body}.!", f"{head}.{body}.", "x" * 9_000):
        assert ask(smart, jwt).status_code in (400, 401), jwt[:40]
    assert ask(smart, assertion(smart), grant_type="password").json()["error"] == "unsupported_grant_type"
    assert ask(smart, assertion(smart), client_assertion_type="x").json()["error"] == "invalid_request"
    assert ask(smart, assertion(smart), scope="system/Patient.r").json()["error"] == "invalid_scope"
    smart_says = smart.api.get("/v1/fhir/.well-known/smart-configuration").json()
    assert smart_says["token_endpoint"] == TOKEN_URL and smart_says["grant_types_supported"] == ["client_credentials"]


def test_every_error_below_fhir_is_an_operation_outcome(smart: World) -> None:
    token = {"Authorization": f"Bearer {ask(smart, assertion(smart)).json()['access_token']}"}
    path, kind = "/v1/fhir/$process-message", {"Content-Type": "application/fhir+json"}

    def told(response: httpx.Response) -> tuple[int, str]:
        assert response.headers["Content-Type"].startswith("application/fhir+json"), response.text
        (issue,) = response.json()["issue"]
        assert response.json()["resourceType"] == "OperationOutcome" and issue["diagnostics"]
        return response.status_code, issue["code"]

    smart.door.reception.throttle._left.clear()
    assert told(smart.api.post(path, content=b"{}", headers=kind)) == (401, "login")
    assert told(smart.api.post(path, content=b"{}", headers={**smart.as_role(Role.AUDITOR), **kind})) == (403, "forbidden")
    assert told(smart.api.get(path, headers=token)) == (405, "not-supported")
    assert told(smart.api.get("/v1/fhir/Patient/1", headers=token)) == (404, "not-found")
    assert told(smart.api.post(path, content=b"{}", headers={**token, "Content-Type": "text/plain"})) == (415, "not-supported")
    big = {**token, **kind, "Content-Length": str(20 * 1024 * 1024)}
    assert told(smart.api.post(path, content=b"{}", headers=big)) == (413, "too-long")
    assert [told(smart.api.post(path, content=b"{}", headers={**token, **kind})) for _ in range(3)] == [
        (400, "invalid"), (400, "invalid"), (429, "throttled"),
    ]  # fmt: skip
    over = smart.api.post(path, content=b"{}", headers={**token, **kind})
    assert 0 < int(over.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('client_id = "c"', "go together"),
        ('client_id = "c"\njwks = [{kty = "oct", k = "AAAA"}]', "kty oct"),
        ('client_id = "c"\njwks = [{kty = "EC", crv = "P-256", x = "AA", y = "AA"}]', "needs P-384"),
        ('client_id = "c"\njwks = [{kty = "RSA", n = "AQAB", e = "AQAB"}]', "2048 are needed"),
        ('client_id = "c"\njwks = [{kty = "RSA", n = "AQAB", e = "AQAB", d = "AQAB"}]', "private key"),
        ('client_id = "c"\njwks_file = "absent.jwks"', "cannot be read"),
        ('scopes = ["system/Bundel.c"]', "lets nobody do anything here; write some of system/Bundle.c, system/ServiceRequest.c"),
    ],
)
def test_a_registry_says_what_is_wrong_with_a_clients_keys(tmp_path: Path, row: str, said: str) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(f'[[source]]\nname = "far"\n{row}\n')
    with pytest.raises(SourcesInvalid, match=said) as wrong:
        load_sources(file)
    assert ", line " in str(wrong.value)

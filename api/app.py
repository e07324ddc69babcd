"""The HTTP API: the same queries and commands as the command line, for programs. No rule of the programme stands here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import (
    audit,
    backend_services,
    care_papers,
    caseloads,
    desk,
    docs,
    door,
    feeds,
    files,
    identity,
    inquiries,
    problems,
    reading,
    referrals,
    writing,
)
from api.examples import with_examples
from api.security import Doorway
from api.services import Services

VERSION = "1"
DESCRIPTION = """Keeps every promise that an Enhanced Care Management programme makes to a member, or shows when, under which rule
and why it was broken.

* Send `Authorization: Bearer <token>`; `throughline token create` makes one, with a role.
* Every command needs an `Idempotency-Key`: the same key again gives the first result.
* `If-Match` with the `ETag` of what you read makes sure that nothing changed meanwhile (412).
* Errors are `application/problem+json` with `code`, `detail`, and the `field` at fault; below `/v1/fhir/` OperationOutcomes.
  Where fields of the request are wrong (422, `invalid`), `faults` names each with what to send instead, and never its value.
* Lists come in pages: pass `next` as `cursor` until there is none.
"""


def create_app(services: Services) -> FastAPI:
    """The application over the services that it is given."""
    app = FastAPI(
        title="Throughline", version=VERSION, description=DESCRIPTION, docs_url=None, redoc_url=None, openapi_url=docs.DESCRIBED_AT
    )
    app.state.services = services
    problems.install(app)
    app.include_router(door.health)
    app.include_router(docs.router)
    app.include_router(door.router, prefix="/v1")
    app.include_router(writing.routes(), prefix="/v1")
    app.include_router(reading.routes(), prefix="/v1")
    app.include_router(caseloads.routes, prefix="/v1")
    app.include_router(care_papers.routes, prefix="/v1")
    app.include_router(desk.router, prefix="/v1")
    app.include_router(identity.router, prefix="/v1")
    app.include_router(feeds.router, prefix="/v1")
    app.include_router(backend_services.router, prefix="/v1")
    app.include_router(files.router, prefix="/v1")
    app.include_router(referrals.routes, prefix="/v1")
    app.include_router(inquiries.routes, prefix="/v1")
    app.include_router(audit.router, prefix="/v1")
    app.add_middleware(Doorway)

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = with_examples(problems.described(made))
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
    return app

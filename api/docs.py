"""The interactive documentation, from this program alone: no page of it comes from another host, and none needs the internet.

Script and style are those of Swagger UI as the package `fastapi-swagger` carries them; nothing else of that package is used.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter, Response

DOCS = "/v1/docs"
DESCRIBED_AT = "/v1/openapi.json"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""What the pages here may load: scripts and styles of our own address only, none written into a page."""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Throughline: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{DOCS}/swagger-ui.css">
</head>
<body>
<noscript>This page needs its script; the description itself is at <a href="{DESCRIBED_AT}">{DESCRIBED_AT}</a>.</noscript>
<div id="swagger-ui"></div>
<script src="{DOCS}/swagger-ui-bundle.js"></script>
<script src="{DOCS}/start.js"></script>
</body>
</html>
"""

START = f"""SwaggerUIBundle({{
  url: "{DESCRIBED_AT}", dom_id: "#swagger-ui", deepLinking: true, filter: true, docExpansion: "none", validatorUrl: null,
  persistAuthorization: false, presets: [SwaggerUIBundle.presets.apis]
}});
"""
"""A token that somebody tries the API with is forgotten with the page."""

A_DAY = {"Cache-Control": "public, max-age=86400"}
"""Nothing in these files is about anybody, so a browser may keep them."""

router = APIRouter(prefix=DOCS, include_in_schema=False)


@cache
def _carried(name: str) -> bytes:
    return resources.files("fastapi_swagger").joinpath("resources", name).read_bytes()


@router.get("")
def page() -> Response:
    return Response(PAGE, media_type="text/html")


@router.get("/start.js")
def start() -> Response:
    return Response(START, media_type="text/javascript", headers=A_DAY)


@router.get("/swagger-ui-bundle.js")
def script() -> Response:
    return Response(_carried("swagger-ui-bundle.js"), media_type="text/javascript", headers=A_DAY)


@router.get("/swagger-ui.css")
def style() -> Response:
    return Response(_carried("swagger-ui.css"), media_type="text/css", headers=A_DAY)

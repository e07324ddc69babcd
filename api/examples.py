"""What answers look like: an example for every answer that the description of the API names, made from its own schema.

Values are the field's own words where a name has one (a member's id, a rule), so that an example reads like an answer; nobody in it
exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.offering import EPISODE, EVENT, MEMBER, STAFF, STAY
from domain.catalog import PROCESSES

DEPTH_MAX = 16
INSTANT, DAY = "2026-11-20T18:30:00Z", "2026-11-30"
UUID = EPISODE.partition("-")[2]
OF_AN_EPISODE = ("episode", *PROCESSES)

WORDS: Mapping[str, str] = {
    **{kind: f"{kind}-{UUID}" for kind in OF_AN_EPISODE},
    "member": MEMBER,
    "stay": STAY,
    **dict.fromkeys(("stream", "process", "subject"), f"outreach-{UUID}"),
    **dict.fromkeys(("lead", "staff", "by", "owed_by", "actor", "receiver", "supervisor", "care_manager"), STAFF),
    **dict.fromkeys(("lead_name", "by_name", "owed_by_name", "staff_name"), "Dana Whitfield"),
    **dict.fromkeys(("member_name", "name"), "Ines Okafor"),
    **dict.fromkeys(("event_id", "event", "record", "inbox_id", "message_id", "set_by", "met_by"), EVENT),
    "plan": "valley-health",
    "policy": "valley-health@2026.1",
    "rule": "initial_contact.contact",
    "key": f"initial_contact.contact/{EVENT}",
    "kind": "outreach",
    "status": "enrolled",
    "state": "open",
    "tier": "high",
    "language": "es",
    "what": "Attempt by call: voicemail",
    "sentence": "Attempt by call: voicemail",
    "fact": "outreach.attempt-made",
    "next": "eyJ2IjoxfQ",
    "next_cursor": "eyJ2IjoxfQ",
    "source": "valley-general",
    "county": "fresno",
}


def with_examples(described: dict[str, Any]) -> dict[str, Any]:
    """The description with an example in every JSON answer that succeeds and has none."""
    models = described.get("components", {}).get("schemas", {})
    for path in described["paths"].values():
        for operation in path.values():
            for status, answer in operation.get("responses", {}).items():
                body = answer.get("content", {}).get("application/json")
                if status.startswith("2") and body is not None and not {"example", "examples"} & body.keys():
                    body["example"] = _example(body.get("schema", {}), "", models, DEPTH_MAX)
    return described


def _example(schema: Mapping[str, Any], name: str, models: Mapping[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        return _example(models[schema["$ref"].rpartition("/")[2]], name, models, depth)
    for given in ("example", "const", "default"):
        if schema.get(given) not in (None, "", [], {}):
            return schema[given]
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if choice.get("type") != "null":
            return _example(choice, name, models, depth)
    return _of_type(schema, name, models, depth)


def _of_type(schema: Mapping[str, Any], name: str, models: Mapping[str, Any], depth: int) -> Any:
    match schema.get("type"):
        case "object" | "array" as empty if not depth:
            return {} if empty == "object" else []
        case "object":
            fields, others = schema.get("properties", {}), schema.get("additionalProperties")
            named = {field: _example(of, field, models, depth - 1) for field, of in fields.items()}
            return named or ({"status": _example(others, "status", models, depth - 1)} if isinstance(others, dict) else {})
        case "array":
            if "prefixItems" in schema:
                return [_example(of, name, models, depth - 1) for of in schema["prefixItems"]]
            items = schema.get("items", {})
            return [_example(items, name.removesuffix("s"), models, depth - 1)] if items else []
        case "integer":
            return 1
        case "number":
            return 1.5
        case "boolean":
            return True
        case "string":
            return _text(schema, name)
        case _:
            return None


def _text(schema: Mapping[str, Any], name: str) -> str:
    match schema.get("format"):
        case "date-time":
            return INSTANT
        case "date":
            return DAY
        case "uuid":
            return UUID
        case _:
            return WORDS.get(name, name.replace("_", " "))

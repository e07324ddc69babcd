"""The project's tidiness as a test: what a reviewer would otherwise have to look for in every change (style.md's pitfalls)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("domain", "eventlog", "intake", "workflows", "activities", "projections", "workers", "api", "simulation", "benchmarks")

BANNED_FACT_SUFFIXES = ("Updated", "Changed", "Modified", "Saved", "Processed")
BANNED_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common", "stuff", "info", "infos", "data"}
WORDS_OF_THE_FIELD = re.compile("CareManager|PersonalData")
WORKFLOW_ATTRIBUTES = {"process", "news"}
WORKFLOW_IMPORTS = ("temporalio", "workflows", "domain.core")
WORKFLOW_STDLIB = {"__future__", "collections", "dataclasses", "datetime", "typing"}
DIFFERS_AT_REPLAY = {"open", "input", "print", "eval", "exec", "compile", "id", "hash", "globals", "vars", "set", "frozenset"}
"""Calls that reach outside, or whose answer or order is another in another process: the worker's sandbox does not look for them."""
CLOCKS = re.compile(r"\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|\btime\.time\(")
MAY_READ_A_CLOCK = ("eventlog/clock.py", "workers/", "activities/channels/", "simulation/", "tests/")
FORBIDDEN_IN_CORE = {"time", "uuid", "random", "os", "asyncio", "logging", "secrets", "socket", "subprocess", "threading"}
ACTIVITY_LINES_MAX = 25
MODULE_LINES_MAX = 1_000
FILE_BYTES_MAX = 1_000_000

BINARY_SUFFIXES = {".png", ".jpg", ".gif", ".ico", ".xlsx", ".zip", ".gz", ".pdf", ".woff2"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|Users|mnt)/\w|(?<![\w.])/home/(?!app\b)\w")
SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"\b(?:ghp|gho|github_pat|glpat|xox[abp]|sk_live)_?-?[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"THROUGHLINE_\w*(?:KEY|TOKEN|SECRET)\w*\s*[=:]\s*[\"']?[A-Za-z0-9+/]{32,}"),
    re.compile(
        r"(?i)\b(?:password|passwd|secret|token)\s*:\s*[\"']?(?!\$|\{|str|None|<)[A-Za-z0-9+/_-]{12,}[\"']?\s*$", re.MULTILINE
    ),
)


@cache
def tracked() -> tuple[Path, ...]:
    """The project's files: what git tracks, or everything but caches where there is no git."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        skip = {
            ".venv",
            ".git",
            "__pycache__",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
            ".hypothesis",
            ".import_linter_cache",
        }
        paths = [path for path in ROOT.rglob("*") if not skip & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in paths if path.is_file()))


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path.suffix not in BINARY_SUFFIXES:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """The Python modules of some packages as they are on disk now, with their syntax trees."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def name_of(node: ast.expr) -> str:
    match node:
        case ast.Call():
            return name_of(node.func)
        case ast.Attribute():
            return f"{name_of(node.value)}.{node.attr}"
        case ast.Name():
            return node.id
        case _:
            return ""


def none(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


# --- names -------------------------------------------------------------------------------------------------------------


def test_a_fact_is_something_a_nurse_would_say_aloud() -> None:
    facts = [
        (path, node.name)
        for path, tree in modules("domain")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(name_of(base).split(".")[-1] == "Fact" for base in node.bases)
    ]
    assert facts
    none(
        [
            f"{path}: {name} says that something changed, not what happened"
            for path, name in facts
            if name.endswith(BANNED_FACT_SUFFIXES)
        ]
    )


def test_no_module_and_no_class_is_named_after_nothing() -> None:
    faults = []
    for path, tree in modules(*PACKAGES):
        if set(Path(path).stem.strip("_").split("_")) & BANNED_WORDS:
            faults.append(f"{path}: name it after what is in it")
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                words = re.findall(r"[A-Z][a-z]+", WORDS_OF_THE_FIELD.sub("", node.name))
                if words and words[-1].lower() in BANNED_WORDS:
                    faults.append(f"{path}:{node.lineno}: class {node.name}: name it after what it is")
    none(faults)


def test_every_module_says_what_it_is_for() -> None:
    none([path for path, tree in modules(*PACKAGES) if not ast.get_docstring(tree)])


# --- layers ------------------------------------------------------------------------------------------------------------


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([str(linter), "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


def test_every_package_has_its_place_in_the_layers() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = sorted(name.strip() for layer in layers for name in layer.split("|"))
    on_disk = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
    assert (
        placed
        == sorted(PROJECT["tool"]["importlinter"]["root_packages"])
        == sorted(PROJECT["tool"]["mypy"]["files"])
        == sorted(PACKAGES)
    )
    assert on_disk == sorted(PACKAGES)
    assert {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]} == set(PACKAGES)


def test_the_core_imports_the_standard_library_only() -> None:
    allowed = (sys.stdlib_module_names - FORBIDDEN_IN_CORE) | {"domain"}
    none(
        [
            f"{path} imports {name}"
            for path, tree in modules("domain")
            for name in imported(tree)
            if name.split(".")[0] not in allowed
        ]
    )


def test_workflows_know_temporal_and_the_vocabulary_of_the_core_only() -> None:
    none(
        [
            f"{path} imports {name}"
            for path, tree in modules("workflows")
            for name in imported(tree)
            if name.split(".")[0] not in WORKFLOW_STDLIB
            and not any(name == known or name.startswith(known + ".") for known in WORKFLOW_IMPORTS)
        ]
    )


def test_a_workflow_does_nothing_that_differs_at_replay() -> None:
    none(
        [
            f"{path}:{node.lineno}: {ast.unparse(node)[:60]}"
            for path, tree in modules("workflows")
            for node in ast.walk(tree)
            if isinstance(node, ast.Global | ast.Set | ast.SetComp)
            or (isinstance(node, ast.Call) and name_of(node.func) in DIFFERS_AT_REPLAY)
        ]
    )


def test_only_the_clock_reads_the_time() -> None:
    none(
        [
            f"{path}:{number}: take `now` as a parameter: {line.strip()}"
            for path, text in texts()
            if path.endswith(".py") and not path.startswith(MAY_READ_A_CLOCK)
            for number, line in enumerate(text.splitlines(), 1)
            if CLOCKS.search(line)
        ]
    )


def test_a_workflow_holds_its_process_and_the_news_of_it_and_nothing_else() -> None:
    faults = []
    for path, tree in modules("workflows"):
        for workflow in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            if any(name_of(base).endswith("Interceptor") for base in workflow.bases):
                continue  # not a workflow: carries a trace's header past one
            for node in ast.walk(workflow):
                targets: list[ast.expr] = []
                if isinstance(node, ast.Assign):
                    targets = node.targets
                elif isinstance(node, ast.AugAssign | ast.AnnAssign):
                    targets = [node.target]
                for part in (part for target in targets for part in ast.walk(target)):
                    if isinstance(part, ast.Attribute) and name_of(part.value) == "self" and part.attr not in WORKFLOW_ATTRIBUTES:
                        faults.append(f"{path}:{part.lineno}: self.{part.attr} would be a second truth: put it in the log")
    none(faults)


def test_an_activity_loads_calls_and_stores_and_is_short() -> None:
    faults = []
    for path, tree in modules("activities"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                name_of(decorator) == "activity.defn" for decorator in node.decorator_list
            ):
                documented = bool(ast.get_docstring(node))
                body = node.body[documented:]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
                if lines > ACTIVITY_LINES_MAX:
                    faults.append(f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {ACTIVITY_LINES_MAX}")
    none(faults)


# --- what must never be in the project -------------------------------------------------------------------------------------


def test_the_lock_file_has_hashes_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"(?i)https?:|://|--(?:extra-)?index|--find-links|--trusted|@ file", text)
    pinned = re.findall(r"^([a-z0-9][a-z0-9._-]*(?:\[[a-z,-]+\])?)==\S+.*\\$", text, flags=re.MULTILINE)
    assert len(pinned) > 50
    none([line for line in text.splitlines() if line and line[0].isalnum() and not line.endswith("\\")])


def test_the_lock_file_pins_everything_the_project_asks_for() -> None:
    pinned = {
        re.sub(r"[-_.]+", "-", name)
        for name in re.findall(r"^([a-z0-9][a-z0-9._-]*)", (ROOT / "requirements.lock").read_text(), flags=re.M)
    }
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    none([f"{line}: run `make lock`" for line in asked if re.match(r"[A-Za-z0-9._-]+", line)[0].lower() not in pinned])  # type: ignore[index]


def test_no_path_of_a_machine_is_in_a_file() -> None:
    none(
        [
            f"{path}:{number}: {line.strip()[:100]}"
            for path, text in texts()
            if path != "tests/unit/test_tidy.py"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    )


def test_no_secret_is_in_a_file() -> None:
    none(
        [
            f"{path}: looks like a secret: {found[0][:12]}…"
            for path, text in texts()
            if path not in ("tests/unit/test_tidy.py", "requirements.lock")
            for pattern in SECRETS
            if (found := pattern.search(text))
        ]
    )


@pytest.mark.parametrize(
    "leak",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "THROUGHLINE_MASTER_KEY=" + "A" * 43 + "=",
        "      POSTGRES_PASSWORD: hunter2hunter2".replace("POSTGRES_PASSWORD", "password"),
    ],
)
def test_the_search_for_secrets_is_not_blind(leak: str) -> None:
    assert any(pattern.search(leak) for pattern in SECRETS)


def test_no_file_is_huge() -> None:
    none([f"{path} has {path.stat().st_size} bytes" for path in tracked() if path.stat().st_size > FILE_BYTES_MAX])
    none(
        [
            f"{path} has more than {MODULE_LINES_MAX} lines"
            for path, text in texts()
            if path.endswith(".py") and text.count("\n") > MODULE_LINES_MAX
        ]
    )


def test_text_ends_with_one_newline_and_has_no_stray_blanks() -> None:
    suffixes = (".py", ".md", ".toml", ".yml", ".yaml", ".sql")
    none(
        [path for path, text in texts() if path.endswith(suffixes) and text and (not text.endswith("\n") or text.endswith("\n\n"))]
    )


# --- documents -------------------------------------------------------------------------------------------------------------


def test_the_map_names_every_package_and_every_folder_of_tests() -> None:
    drawn = (ROOT / "docs" / "map.md").read_text()
    none([f"docs/map.md does not name {package}/" for package in PACKAGES if f"`{package}/`" not in drawn])
    folders = sorted(
        {
            path.relative_to(ROOT).parts[1]
            for path in tracked()
            if path.is_relative_to(ROOT / "tests") and len(path.relative_to(ROOT).parts) > 2
        }
    )
    none([f"docs/map.md does not name tests/{folder}" for folder in folders if f"`tests/{folder}`" not in drawn])


def test_links_between_documents_lead_somewhere() -> None:
    faults = []
    for path, text in texts():
        if path.endswith(".md"):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                if "://" not in target and not target.startswith("mailto:") and not ((ROOT / path).parent / target).exists():
                    faults.append(f"{path} links to {target}")
    none(faults)


def test_a_decision_is_short_and_says_its_price() -> None:
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        text = path.read_text()
        for part in ("**Context.**", "**Choice.**", "**Price.**", "**Wrong if**"):
            assert part in text, f"{path.name} lacks {part}"
        assert len(text.splitlines()) <= 14, f"{path.name} is longer than a decision should be"

# One way to run things. On a machine with nothing but Python 3.11 (or later): `make demo` or `make test`.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up-for
JOBS ?= 2
FLAGS ?=

# Python's and pip's own settings of the machine (indexes, certificates) are respected; nothing here names a host.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup ground lint check test test-as-in-production bench torture fuzz kills demo lock clean

help:
	@echo "make demo [FLAGS=--exit]  set everything up and let the system tell its story"
	@echo "make test                 set everything up and run every test"
	@echo "make test-as-in-production  the same on Debian's PostgreSQL 15, and Temporal on PostgreSQL"
	@echo "make bench [FLAGS='--only P1']  measure what docs/performance.md claims: a quarter of an hour, best on an idle machine"
	@echo "make torture [FLAGS='--seed N --minutes M']  break everything that can break, and look whether anything was lost"
	@echo "make fuzz [FLAGS='--seed N --minutes M']  feed the readers of hospitals' bytes with what no hospital would send"
	@echo "make kills [FLAGS='--seed N']  10,000 messages under 100 kills of listener and appliers: some minutes"
	@echo "make check                ruff, mypy, import contracts, unit tests and properties: under a minute"
	@echo "make setup                only the virtual environment"
	@echo "make ground               only PostgreSQL's and Temporal's programs (builds Temporal once where it must)"
	@echo "make lock                 rewrite requirements.lock from pyproject.toml"
	@echo "make clean                remove the virtual environment and all caches of this folder"

# Skipped while lock file and project file are what they were when the environment was made.
setup:
	@wanted="$$(cat requirements.lock pyproject.toml | cksum) $$(pwd -P)"; \
	if [ "$$(cat $(STAMP) 2>/dev/null)" = "$$wanted" ] && $(BIN)/python -c '' 2>/dev/null; then exit 0; fi; \
	if ! $(BIN)/python -c '' 2>/dev/null; then \
	  python=""; \
	  for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "Throughline needs Python 3.11 or later, and none was found. Install it, or say where it is: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	    exit 1; \
	  fi; \
	  echo "Making a virtual environment in $(VENV) with $$($$python --version)"; \
	  $$python -m venv --clear $(VENV) || { \
	    echo "The virtual environment could not be made. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
	fi; \
	echo "Installing what requirements.lock names (a minute or two, once)"; \
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock || { \
	  echo "The packages could not be installed. Is a package index reachable (pip config list shows which one is used)?"; exit 1; }; \
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --no-deps --no-build-isolation --config-settings editable_mode=compat -e . && \
	echo "$$wanted" > $(STAMP)

ground: setup
	@$(BIN)/python -m workers.ground

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check: lint
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests/unit tests/properties

test: lint ground
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests

# The same suite on servers like production's: Debian's PostgreSQL 15, and Temporal on another one.
test-as-in-production: lint ground
	@$(BIN)/python -m workers.ground.as_in_production $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests

bench: ground
	@$(BIN)/python -m benchmarks $(FLAGS)

torture: ground
	@$(BIN)/python -m tests.torture $(FLAGS)

fuzz: setup
	@$(BIN)/python -m tests.fuzz $(FLAGS)

kills: ground
	@$(BIN)/python -m tests.faults.kills $(FLAGS)

demo: setup
	@$(BIN)/throughline demo $(FLAGS)

lock: setup
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --all-extras pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

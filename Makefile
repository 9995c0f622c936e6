# The verbs of this project. `make help` lists them.

# The first Python that the pinned wheels exist for; say which yourself with: make PYTHON=/path/to/python
PYTHON_FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(PYTHON_FITS)' 2>/dev/null && echo $$python && break; done)

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test soak node bench bench-full check format lock clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv from the lock files

$(STAMP): requirements-dev.lock pyproject.toml
	@"$(PYTHON)" -c '$(PYTHON_FITS)' 2>/dev/null || \
	  { echo "Python 3.11 to 3.14 is needed and python3 is not one; say which with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "making $(VENV)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## set everything up and start the gateway for trying out
	@$(BIN)/zenmux-gateway dev

test: install node ## set everything up and run every test
	$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore=tests/chaos
	@# It keeps every core busy: beside it, tests that wait for a moment would miss it.
	$(BIN)/python -m pytest tests/chaos

SECONDS ?= 600
CLIENTS ?= 200
GARBAGE ?= 200000
SEED ?=

soak: install ## the chaos test for SECONDS=600 with CLIENTS=200, GARBAGE=200000 malformed requests, repeated with SEED=…
	GARBAGE_COUNT="$(GARBAGE)" CHAOS_SECONDS="$(SECONDS)" CHAOS_CLIENTS="$(CLIENTS)" CHAOS_SEED="$(SEED)" $(BIN)/python -m pytest -s tests/chaos

# openai-node, for the tests that drive the gateway with it.
node:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory tests/node/node_modules/.installed; \
	  else echo "Node.js is not here: the tests with openai-node will be skipped"; fi

tests/node/node_modules/.installed: tests/node/package-lock.json tests/node/package.json
	npm --prefix tests/node ci --silent --no-audit --no-fund
	@touch $@

bench: install ## measure the gateway beside nginx, LiteLLM and Portkey, in minutes
	$(BIN)/python -m bench

bench-full: install ## the same at length, with the ledger: docs/performance.md is made of it
	$(BIN)/python -m bench --full

check: install ## ruff and mypy, strict; no dependency too many or too few
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry .

format: install ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install ## make the lock files anew from pyproject.toml, and the npm one from its package.json
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --extra socks pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --extra socks pyproject.toml --group dev -o requirements-dev.lock
	npm --prefix tests/node install --package-lock-only --no-audit --no-fund

clean: ## remove what was built, keep data/
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info tests/node/node_modules

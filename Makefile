# The verbs of this project. `make help` lists them.

# The first Python that the pinned wheels exist for; say which yourself with: make PYTHON=/path/to/python
PYTHON_FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(PYTHON_FITS)' 2>/dev/null && echo $$python && break; done)

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
# Compiled tests and modules are kept for the next run, also where the machine's owner switched that off.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install run test test-quick test-full soak node clients tools browser builders screenshots mixin vendor dist sbom bench bench-full check format lock clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv from the lock files

$(STAMP): requirements-dev.lock pyproject.toml
	@"$(PYTHON)" -c '$(PYTHON_FITS)' 2>/dev/null || \
	  { echo "Python 3.11 to 3.14 is needed and python3 is not one; say which with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "making $(VENV)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## set everything up and start the gateway for trying out
	@$(BIN)/zenmux-gateway dev

# Two thirds of a test's time is waiting for processes, so twice as many run as there are cores on a small machine.
PROCESSES ?= 4
PYTEST = $(BIN)/python -m pytest

test: install node clients tools browser ## set everything up and run every test but the long ones, in 10 minutes on two slow cores
	$(PYTEST) -n $(PROCESSES) --dist loadgroup -m "not long" --ignore=tests/chaos
	@# They keep every core busy: beside them, tests that wait for a moment would miss it.
	CHAOS_SECONDS="$${CHAOS_SECONDS:-20}" $(PYTEST) -n 3 tests/chaos

test-quick: install ## rules and single parts, in about 40 seconds: no other process, no PostgreSQL, no gateway that listens
	HYPOTHESIS_PROFILE=quick $(PYTEST) -n 3 -m quick

test-full: install node clients tools browser builders ## every test, the long ones too, with five times the examples and a minute of chaos
	HYPOTHESIS_PROFILE=full $(PYTEST) -n $(PROCESSES) --dist loadgroup --ignore=tests/chaos
	CHAOS_SECONDS="$${CHAOS_SECONDS:-60}" $(PYTEST) -n 3 tests/chaos

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

# An old openai-python, and LiteLLM with its 60 packages, for the tests that drive the gateway with them: an environment for each lock file.
CLIENT_VENVS := $(patsubst tests/clients/%.lock,.venv-clients/%/.installed,$(wildcard tests/clients/*.lock))

clients: $(CLIENT_VENVS) ## install openai-python 1.109, LiteLLM, LangChain, pydantic-ai, an S3 service and checkers of deploy/ for the tests, each in an environment of its own

.venv-clients/%/.installed: tests/clients/%.lock | $(STAMP)
	@{ $(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D) && \
	  $(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $< && touch $@; } || \
	  { rm -rf $(@D); echo "$* could not be installed: the tests with it will be skipped"; }

# Programs out of Debian's packages, unpacked and not installed: nothing is started, and no right is needed but to read the package
# lists, which root may fetch.
tools: ## unpack Debian's Prometheus, nginx and pgbouncer, and a Helm, for tests and bench, where they are not there
	@command -v promtool >/dev/null && command -v prometheus >/dev/null || $(MAKE) --no-print-directory .tools/prometheus/.unpacked || \
	  echo "Prometheus could not be had: the tests with it will be skipped"
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || $(MAKE) --no-print-directory .tools/nginx/.unpacked || \
	  echo "nginx could not be had: the tests with it will be skipped"
	@command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || $(MAKE) --no-print-directory .tools/pgbouncer/.unpacked || \
	  echo "pgbouncer could not be had: the tests with it will be skipped"
	@command -v helm >/dev/null || $(MAKE) --no-print-directory .tools/helm/helm || \
	  echo "Helm could not be had: the tests of the chart will be skipped"

# The libraries of some are rarely there, and their packages' names change between Debian's releases.
LIBRARIES_OF_pgbouncer = $$(apt-cache depends pgbouncer 2>/dev/null | sed -nE 's/^ +Depends: (lib(c-ares|event)[^ ]*)$$/\1/p')

.tools/%/.unpacked:
	@rm -rf $(@D) && mkdir -p $(@D)
	@cd $(@D) && { apt-get download -qq $* $(LIBRARIES_OF_$*) 2>/dev/null || { apt-get update -qq && apt-get download -qq $* $(LIBRARIES_OF_$*); }; } && \
	  for package in *.deb; do dpkg-deb -x $$package . && rm $$package || exit 1; done && touch .unpacked

# A Helm for Linux on x86-64, out of a package that carries one for the cloud: it is checked against the lock file's hash.
.tools/helm/helm: tests/deploy/helm.lock | $(STAMP)
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build --require-hashes --target $(@D)/package -r $<
	@tar -xzf $(@D)/package/aws_cdk/*/_jsii/*.jsii.tgz -C $(@D) package/lib/layer.zip
	@$(BIN)/python -m zipfile -e $(@D)/package/lib/layer.zip $(@D)/layer
	@chmod +x $(@D)/layer/helm/helm && $(@D)/layer/helm/helm version --short >/dev/null && mv $(@D)/layer/helm/helm $@.found
	@rm -rf $(@D)/package $(@D)/layer && mv $@.found $@

browser: ## install Debian's Chromium for the tests of the console, where there is none
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { apt-get install -y -qq chromium >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }; } || \
	  echo "Chromium could not be had: the tests of the console in a browser will be skipped"

builders: ## install Debian's buildah and mmdebstrap for the test that builds the image, as root where there is an apt
	@command -v buildah >/dev/null && command -v mmdebstrap >/dev/null || \
	  { install="apt-get install -y -qq --no-install-recommends buildah mmdebstrap"; \
	    $$install >/dev/null 2>&1 || { apt-get update -qq && $$install >/dev/null; }; } || \
	  echo "buildah and mmdebstrap could not be had, which takes root and apt: the test of the image will be skipped"

screenshots: install browser ## images of the console for README and docs, from the sandbox with a week of invented use
	$(BIN)/python -m tests.console.screenshots docs/images

mixin: install ## render deploy/mixin into deploy/
	$(BIN)/python deploy/mixin/render.py

vendor: install ## fetch the console's third-party files from npm anew, with their hashes and licences
	$(BIN)/python deploy/console/vendor.py

DIST ?= dist

dist: install ## make wheel and sdist in dist/, with the commit they are from
	@git rev-parse --short=12 HEAD > app/COMMIT
	@$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir $(DIST); code=$$?; rm -f app/COMMIT; exit $$code

SBOM ?= dist/zenmux-gateway.cdx.json

sbom: clients ## list every package of the image as CycloneDX, in dist/
	@mkdir -p $(dir $(SBOM))
	.venv-clients/deploy_tools/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml --output-file $(SBOM) requirements.lock

bench: install ## measure the gateway beside nginx, LiteLLM and Portkey, in minutes
	$(BIN)/python -m bench

bench-full: install ## the same at length, with the ledger: docs/performance.md is made of it
	$(BIN)/python -m bench --full

check: install ## ruff and mypy, strict; no dependency too many or too few, no dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry .
	$(BIN)/vulture

format: install ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install ## make the lock files anew from pyproject.toml, and those of tests/clients and tests/node
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --extra oidc --extra otel --extra s3 --extra socks pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --extra oidc --extra otel --extra s3 --extra socks pyproject.toml --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/openai_1.in -o tests/clients/openai_1.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/litellm_sdk.in -o tests/clients/litellm_sdk.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/litellm_proxy.in -o tests/clients/litellm_proxy.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/langchain.in -o tests/clients/langchain.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/pydantic_ai.in -o tests/clients/pydantic_ai.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/moto_server.in -o tests/clients/moto_server.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade tests/clients/deploy_tools.in -o tests/clients/deploy_tools.lock
	$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --upgrade tests/deploy/helm.in -o tests/deploy/helm.lock
	npm --prefix tests/node install --package-lock-only --no-audit --no-fund

clean: ## remove what was built, keep data/
	rm -rf $(VENV) .venv-clients .tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info tests/node/node_modules

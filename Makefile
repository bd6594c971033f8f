# Two commands from a fresh clone: `make run` and `make test`.  Both set up .venv once, from the hashed lock, with
# whatever package index pip is configured for.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Candidates are executed: a name on PATH may be a shim without a Python behind it.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(USABLE)' >/dev/null 2>&1; then echo $$p; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements.txt requirements-native.txt
PACKAGES := engine generators oracles harness
SECONDS ?= 60
ARGS ?=

.PHONY: help run test check format bench setup lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(READY)  ## Fuzz wasmtime against the reference engine for SECONDS=60; more options in ARGS=
	@$(BIN)/wfuzz run --oracle wasmtime --time $(SECONDS) $(ARGS)

test: $(READY)  ## Run the tests; more options of pytest in ARGS=
	@$(BIN)/python -m pytest -q -n auto $(ARGS)

check: $(READY)  ## Lint, formatting, types and layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py

format: $(READY)  ## Rewrite the sources as check wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## Measure the engine against pywasm
	$(BIN)/python -m benchmarks.engine $(ARGS)

setup: $(READY)  ## Set up .venv and nothing else; PYTHON= names the interpreter

lock:  ## Write the locks anew (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--extra dev --extra bench --no-emit-package wasmer-sdk --no-emit-package atheris \
		-o requirements.txt pyproject.toml
	sed -n 's/^ *"\(\(wasmer-sdk\|atheris\)==.*\)",$$/\1/p' pyproject.toml | \
		uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--python-version 3.11 -o requirements-native.txt -

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(PACKAGES) ci tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Engines with wheels for few systems come second and may be missing: their oracle is then absent, all else works.
$(READY): $(LOCKS) pyproject.toml
	@test -n "$(PYTHON)" || { echo "wfuzz needs Python 3.11 or newer with venv and pip, and none of python3, python3.11 to python3.14 is: install one, or name it with PYTHON=/path/to/python" >&2; exit 3; }
	@$(PYTHON) -c '$(USABLE)' 2>/dev/null || { echo "wfuzz needs Python 3.11 or newer with venv and pip, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; exit 3; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install -q --require-hashes --only-binary :all: -r requirements-native.txt || \
		echo "note: no wheel of an optional engine fits this system (see above); its oracle will be missing" >&2
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $(READY)

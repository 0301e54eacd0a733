# Two commands are all a fresh machine needs: `make demo` and `make test`. Each sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Test files are shared out to so many processes, as tests/conftest.py says.
WORKERS ?= 2
CODE := src tests examples benchmarks docs/generate.py docs/pictures.py frontend/hatch_build.py
FRONTEND := $(shell find frontend/src frontend/public -type f) frontend/index.html frontend/vite.config.ts frontend/tsconfig.json
BOARD := src/mlgym/board/index.html
NO_NODE := Node 20.19 or newer is missing: MLboard is not built, everything else works
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup board frontend e2e demo test quick check format lint types layers docs bench clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The constraints pin what the project is developed with: the CPU build of torch among them. With a GPU:
# `pip install -e .` in an environment of your own takes the newest build for it.
$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "mlgym needs $(PYTHON): install it, or name another with PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), a few minutes the first time ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.ready  ## virtual environment with everything the other commands need

# Installed anew only when the lock changed, built only when a source did.
frontend/node_modules/.ready: frontend/package-lock.json
	@command -v npm >/dev/null || { echo "$(NO_NODE)"; exit 1; }
	@cd frontend && npm ci --silent
	@touch $@

$(BOARD): frontend/node_modules/.ready $(FRONTEND)
	@cd frontend && npx vite build --logLevel warn

board: $(BOARD)  ## build MLboard into the package

frontend: frontend/node_modules/.ready  ## types, lint, import zones and unit tests of MLboard
	@cd frontend && npm run --silent check

e2e: setup $(BOARD)  ## MLboard in a real browser, against real services and a real run
	@.ci/packages
	@cd frontend && npm run --silent e2e

demo: setup  ## a grid search on real data, and its table
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory board; else echo "$(NO_NODE)"; fi
	@cd examples/grid_search && mlgym run gs_config.yml
	@if [ -e $(BOARD) ]; then echo "look at it: cd examples/grid_search && mlgym board latest"; fi

format: setup  ## format the code
	@ruff format $(CODE)
	@ruff check --fix --quiet $(CODE)

lint: setup
	@ruff format --check --quiet $(CODE) || { echo "run: make format"; exit 1; }
	@ruff check --quiet $(CODE)

types: setup
	@mypy --no-error-summary

layers: setup
	@lint-imports --no-logo 2>&1 | tail -n 12; exit $${PIPESTATUS[0]}

docs: setup  ## write the reference pages anew
	@python docs/generate.py

check: lint types layers  ## every gate but the tests

quick: setup  ## the quick tests, under three minutes
	@python -m pytest -n $(WORKERS) -m "not slow"

test: setup check frontend  ## every gate
	@.ci/packages
	@python -m pytest -n $(WORKERS)
	@$(MAKE) --no-print-directory e2e

bench: setup  ## measure against peers, by hand; writes benchmarks/RESULTS.md
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . \
		-r benchmarks/requirements.txt
	@.venv-bench/bin/python benchmarks/run_all.py

clean:
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Two commands are all a fresh machine needs: `make demo` and `make test`. Each sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CODE := src tests examples benchmarks docs/generate.py
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check format lint types layers docs bench clean

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

demo: setup  ## a grid search on real data, and its table
	@cd examples/grid_search && mlgym run gs_config.yml

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
	@python -m pytest -m "not slow"

test: setup check  ## every gate
	@.ci/packages
	@python -m pytest

bench: setup  ## measure against peers, by hand; writes benchmarks/RESULTS.md
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . \
		-r benchmarks/requirements.txt
	@.venv-bench/bin/python benchmarks/run_all.py

clean:
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

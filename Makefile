# make help lists the targets. Each sets up .venv by itself.
PYTHON ?= python3
# The exact version on pip's command line: some machines get a CPU build that way, where the
# range in the metadata alone would pull the CUDA packages.
TORCH ?= torch==2.13.0
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed  ## create .venv with both packages and the developers' tools

.venv/.installed: pyproject.toml nmloss/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) -e ./nmloss -e ".[dev]"
	touch $@

demo: setup  ## synthetic faces, the two-branch network, a test on unseen people (5 minutes)
	$(BIN)/ferlit fit --config demo.yaml

test: setup  ## the whole test suite, doctests included
	$(BIN)/pytest -n 2 --dist worksteal

lint: setup  ## ruff, mypy --strict and the layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## speed and memory of the losses, as ratios (15 minutes)
	$(BIN)/python -m benchmarks.losses

clean:  ## remove .venv, caches and everything that was built
	rm -rf .venv build dist nmloss/dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Every target sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help serve test check train table

help:
	@grep -E '^# [a-z]+:' Makefile | sed 's/^# //'

# serve: start the router on http://127.0.0.1:4000 (no key, no account: a simulated provider answers)
serve: $(VENV)/serve.installed
	$(BIN)/auto-efficient serve

# test: everything that CI runs: format, lint, types, imports, tests
test: check
	$(BIN)/pytest -q

# check: format, lint, types and the import contract
check: $(VENV)/dev.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# train: retrain the classifier (uses ../shared/data where it lies, else the committed corpus)
train: $(VENV)/dev.installed
	$(BIN)/auto-efficient train

# table: rebuild the cost-quality table from ../shared/data
table: $(VENV)/dev.installed
	$(BIN)/auto-efficient table build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serve.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,plots]' --group dev
	@touch $@ $(VENV)/serve.installed

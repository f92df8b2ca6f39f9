# Every target sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help serve test quick check train table lock

help:
	@grep -E '^# [a-z]+:' Makefile | sed 's/^# //'

# serve: start the router on http://127.0.0.1:4000 (no key, no account: a simulated provider answers)
serve: $(VENV)/serve.installed
	$(BIN)/auto-efficient serve

# test: everything that CI runs: format, lint, types, imports, tests
test: check
	$(BIN)/pytest -q -rs $(PARALLEL)

# quick: the same without the tests that are marked slow
quick: check
	$(BIN)/pytest -q $(PARALLEL) -m "not slow"

# Whole files go to a process each: many share what is slow to make.
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadfile

# check: format, lint, types, dead code and the import contracts
check: $(VENV)/dev.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/lint-imports

# train: retrain the classifier (uses ../shared/data where it lies, else the committed corpus)
train: $(VENV)/dev.installed
	$(BIN)/auto-efficient train --out models

# table: rebuild the cost-quality table from ../shared/data
table: $(VENV)/dev.installed
	$(BIN)/auto-efficient table build --out models/table.json

# lock: write requirements/ anew from pyproject.toml; with UPGRADE=1 in newer versions
lock: $(VENV)/installer
	$(LOCK) requirements/dev.txt pyproject.toml --all-extras --group dev
	$(LOCK) requirements/serve.txt pyproject.toml --constraints requirements/dev.txt
	$(LOCK) requirements/deploy.txt pyproject.toml $(addprefix --extra ,$(DEPLOYED)) --constraints requirements/dev.txt
	$(LOCK) requirements/install.txt --group install --constraints requirements/dev.txt

# What an image needs beside: a database and a store in the network, and traces.
DEPLOYED = postgres redis otel

# One version of each package for every system and Python, and no word of where it was found.
LOCK = $(BIN)/uv pip compile --quiet --no-config --universal --fork-strategy fewest \
	--python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade) --output-file

# pip installs uv, and uv the rest; --python, as uv would rather use an environment that is active.
$(VENV)/installer: requirements/install.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# An environment holds what its locks name and no more: what an older lock brought goes.
$(VENV)/%.installed: $(VENV)/installer pyproject.toml $(wildcard requirements/*.txt)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes \
		requirements/install.txt requirements/$*.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/serve.installed

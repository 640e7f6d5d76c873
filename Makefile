# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS ?= $(or $(QWARDEN_PEERS),.peers)
PEER_NAMES := $(patsubst bench/peers-%.txt,%,$(wildcard bench/peers-*.txt))
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-all run test lint bench figures peers docs lock model clean

help:  ## say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.core  ## install the core from requirements.lock and compile the hot loops

setup-all: $(VENV)/.all  ## install the core, the oracles and the developer tools from requirements-dev.lock

run: setup  ## write a scenario of labelled traffic, replay it and print explained findings
	@$(BIN)/qwarden demo --once

test: setup-all  ## run every test
	@$(BIN)/python -m pytest

lint: setup-all  ## style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: setup-all  ## build the documentation; a broken link or a page left out fails
	@$(BIN)/mkdocs build --strict --quiet --site-dir build/site

bench: setup-all peers  ## pair the engine with its peers: versions and ratios into docs/benchmarks.md
	@QWARDEN_PEERS=$(PEERS) $(BIN)/python bench/benchmarks.py docs/benchmarks.md

figures: setup-all peers  ## run every short measure, peers beside us, into docs/evaluation.json
	@QWARDEN_PEERS=$(PEERS) $(BIN)/qwarden measure --all --out docs/evaluation.json

peers: $(PEER_NAMES:%=$(PEERS)/.%)  ## install the peers of benchmarks, each in an environment of its own

model: setup-all  ## train the shipped detection model anew (about eight minutes)
	@$(BIN)/qwarden models build

lock:  ## pin the dependencies anew
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile pyproject.toml --group build $(LOCK) -o requirements.lock -q
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group build --group dev $(LOCK) -c requirements.lock -o requirements-dev.lock -q

LOCK := --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade

clean:  ## remove what the other targets made
	rm -rf $(VENV) .peers build site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/uv:
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv

$(VENV)/.core: requirements.lock pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/qwarden --home $(VENV)/home doctor --warm
	@touch $@

$(VENV)/.all: requirements-dev.lock pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/qwarden --home $(VENV)/home doctor --warm
	@touch $@ $(VENV)/.core

# A peer that does not install leaves no environment: benchmarks and measures then say that it is missing.
$(PEERS)/.%: bench/peers-%.txt
	@mkdir -p $(PEERS)
	@if $(PYTHON) -m venv $(PEERS)/$* \
	  && $(PEERS)/$*/bin/python -m pip install -q --disable-pip-version-check -r $<; \
	then touch $@; else rm -rf $(PEERS)/$*; echo "peer $* does not install here" >&2; fi

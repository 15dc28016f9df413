# make serve    set up, build the viewer, and serve the demo slide; ARGS='--port 8123 --cache DIR' are passed on
# make test     set up, and run every check and test
# make setup    set up for development          make lint    the checks alone
# make wheel    a wheel, built through the sdist  make clean   delete all that was made here
#
# PYTHON=python3.12 chooses the interpreter of a new .venv. pip and npm are used as they are configured; where pip can
# see CPU builds of torch (an index or a folder of wheels), configure it so: the default on Linux is the CUDA build.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
PACKAGES := server viewer model cache
TYPES := build/types/everslide
BUNDLE := viewer/static/dist/main.js
VIEWER_SOURCES := $(shell find viewer/src viewer/build.js viewer/tsconfig.json -type f 2>/dev/null)

.PHONY: help serve test setup lint wheel clean browser

help:
	@sed -n 's/^# \{0,1\}//; /^$$/q; p' Makefile

serve: .venv/installed $(BUNDLE)
	@exec $(BIN)/everslide serve $(ARGS)

setup: .venv/installed-dev $(BUNDLE) $(TYPES)

test: lint browser
	CHROMIUM="$$(.ci/setup --which)" PATH="$(CURDIR)/$(BIN):$$PATH" npm test
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	npm run --silent check

browser:
	@.ci/setup

wheel: setup
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv node_modules build dist everslide.egg-info viewer/static/dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache artefacts
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One interpreter, one environment. The package is installed in place, so that sources need no reinstall.
.venv/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: Everslide needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is $$($(PYTHON) -V): Everslide needs Python 3.11 or newer (make PYTHON=...)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: pyproject.toml constraints.txt | .venv/python
	$(PIP) --editable '.[data,fast]'
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/python
	$(PIP) --editable '.[cluster,data,dev,fast,train]'
	$(BIN)/python -m pip check
	@touch .venv/installed $@

node_modules/installed: package.json package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
		|| { echo "Everslide needs Node 20 or newer to build its viewer" >&2; exit 1; }
	npm ci --no-audit --no-fund
	@touch $@

$(BUNDLE): node_modules/installed $(VIEWER_SOURCES)
	npm run --silent build
	@touch $@

# Type checkers do not read package-dir of pyproject.toml: they find the package through these links.
$(TYPES): __init__.py
	@mkdir -p $@
	@ln -sfn $(foreach name,__init__.py py.typed $(PACKAGES),../../../$(name)) $@/
	@touch $@

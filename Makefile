# Everything runs in .venv inside this folder; nothing needs to be installed by hand.
# Another interpreter: make PYTHON=python3.13 test
# Only relative paths are used, so that the folder's own name may hold anything.

SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin/python
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
OUT ?= demo-mine
# processes that share the tests
WORKERS ?= 2
# the environment of the lowest versions; with newer ones around them they announce the end of what they use
OLDEST := .venv-oldest
AGED := -W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning

.PHONY: help demo test test-oldest stress lint format bench ten-minutes ten-minutes-quick report-check docs docs-check clean clean-venv
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/  make \1 -/p' Makefile

demo: $(CORE)  ## simulate a mine and do the whole job on it (OUT=folder)
	$(RUN) -m insar_mining demo --out "$(OUT)"

test: $(DEV)  ## run the whole test suite, campaigns at a tenth of their size
	$(RUN) -m pytest -n $(WORKERS) --dist loadgroup

test-oldest:  ## run the quick tests on the lowest versions of libraries that pyproject.toml allows
	$(MAKE) --no-print-directory VENV=$(OLDEST) $(OLDEST)/bin/python
	$(OLDEST)/bin/python .ci/lowest.py > $(OLDEST)/lowest.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv  # pip tries versions for a quarter of an hour
	$(OLDEST)/bin/python -m uv pip install --quiet --python $(OLDEST)/bin/python --constraint $(OLDEST)/lowest.txt --editable '.[dev]'
	$(OLDEST)/bin/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow" $(AGED) tests/unit

stress: $(DEV)  ## run the whole test suite with campaigns in full
	$(RUN) -m pytest -n $(WORKERS) --dist loadgroup --stress

lint: $(DEV)  ## style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(DEV)  ## mend what can be mended automatically
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(DEV)  ## run every script of benchmarks/ and print its table
	@set -e; for script in benchmarks/bench_*.py; do $(RUN) "$$script"; done
	$(RUN) -m pytest -o addopts= benchmarks/test_kernels.py -p no:randomly --benchmark-json benchmarks/results/kernels.json

ten-minutes: $(CORE)  ## time a newcomer's first steps in a fresh environment made from the wheel
	$(RUN) benchmarks/first_ten_minutes.py

ten-minutes-quick: $(CORE)  ## the same without the demonstration; writes nothing
	$(RUN) benchmarks/first_ten_minutes.py --quick

report-check: $(CORE)  ## look at the demonstration's report in Chromium: speed, requests, accessibility (needs Chromium, npm)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	test -f demo-mine/report.html || $(RUN) -m insar_mining demo --out demo-mine
	$(RUN) benchmarks/report_in_browser.py demo-mine/report.html

docs: $(DEV)  ## build the documentation site with its notebooks run (site/index.html)
	$(RUN) -m insar_mining demo --keep-scenes --out demo-mine
	INSAR_MINING_DEMO="$(CURDIR)/demo-mine/simulated" DOCS_EXECUTE=true NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

docs-check: $(DEV)  ## build the site without running its notebooks; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

clean: clean-venv  ## remove the environment, caches and the demo's folder
	rm -rf demo-mine site .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find insar_mining tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-venv:
	rm -rf $(VENV) $(OLDEST)

# PYTHON if it is given, else the first interpreter that works, is new enough and can make environments.
$(RUN):
	@if [ -n "$(PYTHON)" ]; then set -- "$(PYTHON)"; else set -- python3.12 python3.13 python3.11 python3 python; fi; \
	for candidate in "$$@"; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$candidate -m venv $(VENV)"; \
	        "$$candidate" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	        exit 0; \
	    fi; \
	done; \
	echo "no Python 3.11 or later that can make environments among: $$*" >&2; \
	echo "install one (Debian, Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(CORE): pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $(CORE)

$(DEV): pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $(CORE) $(DEV)

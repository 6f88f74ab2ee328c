# Every target sets up what it needs by itself: Debian with make, python3 (3.11 or newer) and
# python3-venv is enough. Another Python, or other versions of the packages:
#   make test PYTHON=python3.13 REQUIREMENTS=requirements-newest.txt

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test quick long soak mutants check bench venv clean

PYTHON ?= python3
REQUIREMENTS ?= requirements.txt
# Each set of packages has a virtual environment: .venv, or .venv-newest of requirements-newest.txt.
VENV := .venv$(patsubst requirements%.txt,%,$(notdir $(REQUIREMENTS)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN := runs/quickstart

# Further arguments for pytest, as in: make quick ARGS="-k beam"
ARGS ?=
# What `make bench` runs: every benchmark, or BENCH="benchmarks/one.py benchmarks/two.py"
BENCH ?= $(sort $(filter-out benchmarks/__init__.py,$(wildcard benchmarks/*.py)))

# Compiled programs are kept, so that second runs start at once.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

# Three sentences of the built-in grammar for `make demo`; the attention maps are of the first.
SENTENCE ?= Last month, a clever writer fed these eight white dogs in the garden.
SENTENCES ?= "$(SENTENCE)" \
  "This girl drew the famous house that the farmer sold." \
  "The singer will help the friendly journalist in the hospital in three weeks."

help:
	@echo "make demo    train a small translator, see its BLEU, translate with it (minutes)"
	@echo "make test    the tests"
	@echo "make quick   the quick tests, before every commit"
	@echo "make long    every law in every place, under every mask; what else takes minutes"
	@echo "make mutants puts faults into a copy of the code; the tests must find each of them"
	@echo "make soak    all tests ten times, also on a busy machine and in random order (hours)"
	@echo "make check   format, lint, types, examples in docstrings, direction of imports"
	@echo "make bench   what produced the figures in docs/benchmarks.md (hours)"
	@echo "make venv    only set up $(VENV)"
	@echo "make clean   remove caches and $(VENV); runs/ stays"

demo: $(STAMP)
	$(BIN)/python launch.py train --config=experiments/quickstart.py --workdir=$(RUN) \
	  --on_change=restart
	@echo
	@echo "Three sentences and their translations:"
	@translations=$$(printf '%s\n' $(SENTENCES) | $(BIN)/python launch.py translate --workdir=$(RUN)) && \
	  paste -d '\n' <(printf '%s\n' $(SENTENCES)) <(echo "$$translations")
	$(BIN)/python launch.py inspect --workdir=$(RUN) --text="$(SENTENCE)"
	@echo
	@echo "The pictures (loss curve, attention maps) lie in $(RUN)/plots:"
	@ls -1 $(RUN)/plots

# Two processes; what each has compiled serves all tests of a file, or of a case of the laws.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

# The budget: ten minutes of two cores, in processor seconds.
test: $(STAMP)
	$(PYTEST) -m "not long" --budget=1200 $(ARGS)

quick: $(STAMP)
	$(PYTEST) -m "not slow and not long" --budget=180 $(ARGS)

long: $(STAMP)
	$(PYTEST) -m long $(ARGS)

soak: $(STAMP)
	$(BIN)/python -m tests.soak $(ARGS)

mutants: $(STAMP)
	$(BIN)/python -m tests.mutants $(ARGS)

check: $(STAMP)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy attention
	$(BIN)/python -m pytest -q --doctest-modules attention
	$(BIN)/python -m pytest -q tests/test_imports.py tests/test_tree.py

bench: $(STAMP)
	@test -n "$(BENCH)" || { echo "make: there is nothing in benchmarks/ yet" >&2; exit 1; }
	@set -e; for file in $(BENCH); do echo "== $$file"; $(BIN)/python "$$file"; done

venv: $(STAMP)

# Empty, or the one line that says why $(VENV) cannot be made.
define PROBLEM
$(shell [ -f $(REQUIREMENTS) ] || { echo 'there is no file $(REQUIREMENTS)'; exit; }; \
  $(PYTHON) -c '' 2> /dev/null || { echo "$(PYTHON) is not on this machine: install it" \
    "(Debian: apt-get install python3 python3-venv), or choose another with PYTHON=..."; exit; }; \
  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
    echo "$(PYTHON) is $$($(PYTHON) -V), 3.11 or newer is needed:" \
    "apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11"; exit; }; \
  $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
    echo "$(PYTHON) has no venv module: apt-get install python3-venv"; exit; }; \
  free=$$(df -Pm . | awk 'NR == 2 { print $$4 }'); \
  [ -x $(BIN)/python ] || [ "$$free" -ge $(VENV_MB) ] || echo "$(CURDIR) has $$free MB free on its disk;" \
    "$(VENV) needs $(VENV_MB) MB: make room there")
endef
VENV_MB := 2000

# Empty, or why an environment that was installed cannot be used.
define STALE
$(shell [ -e $(STAMP) ] || exit 0; \
  $(BIN)/python -c '' 2> /dev/null || { echo 'its Python is gone'; exit; }; \
  $(if $(filter file,$(origin PYTHON)),,want=$$($(PYTHON) -V 2> /dev/null); \
    have=$$($(BIN)/python -V); [ "$${want:-$$have}" = "$$have" ] || { \
      echo "it has $$have, and $(PYTHON) is $$want"; exit; };) \
  cd / && "$(CURDIR)/$(BIN)/python" -c 'import importlib.util, sys; \
    found = importlib.util.find_spec("attention"); \
    sys.exit(not found or not found.origin.startswith(sys.argv[1] + "/"))' "$(CURDIR)" || \
    echo 'it was made in another folder')
endef

$(STAMP): $(wildcard $(REQUIREMENTS)) pyproject.toml $(if $(STALE),stale)
	$(if $(PROBLEM),$(error $(PROBLEM)))
	@echo "Setting up $(VENV) from $(REQUIREMENTS) (once; about 1.3 GB, a minute or two) ..."
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: stale
stale:
	@echo "$(VENV) is stale ($(STALE)): it is made again."
	@rm -rf $(VENV)

clean:
	rm -rf .venv .venv-newest .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One word for each habit. ARGS goes to the command: make search ARGS="--trials 50", make test ARGS="-k mbconv"
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help search test test-slow test-alone test-all lint format bench bench-search docs clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 18

search: $(VENV)/run.stamp  ## search a network of at most 3.6M parameters, on the bundled data
	$(BIN)/nas search --budget-params 3.6M --target cpu $(ARGS)

test: $(VENV)/test.stamp  ## the fast tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-slow: $(VENV)/test.stamp  ## those marked slow
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow and not (ray or browser or timing or gpu)" $(ARGS)

test-alone: $(VENV)/test.stamp  ## those marked ray, browser or timing, one at a time, for they want both cores
	$(BIN)/python -m pytest -m "(ray or browser or timing) and not gpu" $(ARGS)

test-all: test test-slow test-alone  ## every test that needs no GPU

lint: $(VENV)/test.stamp  ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/test.stamp  ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

LONG := __init__.py search_quality.py end_to_end.py
bench: $(VENV)/test.stamp  ## run the benchmarks
	for script in $(filter-out $(addprefix %/,$(LONG)),$(wildcard benchmarks/*.py)); do \
		$(BIN)/python -m benchmarks.$$(basename $$script .py) $(ARGS) || exit; done

bench-search: $(VENV)/test.stamp  ## replay searches of all samplers on tables of networks: an hour
	$(BIN)/python -m benchmarks.search_quality $(ARGS)

docs: $(VENV)/test.stamp  ## run every example and follow every link of the documentation
	$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

clean:  ## remove the environment and all caches
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,EXTRA): the project, editable, at the tested versions. A broken or half-made environment is made anew.
define install
@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	|| $(PYTHON) -c 'import ensurepip, sys, venv; assert sys.version_info >= (3, 10)' 2>/dev/null \
	|| { echo '$(PYTHON) must be Python 3.10 or newer with venv; on Debian: apt-get install python3-venv' >&2; exit 1; }
@echo 'Installing nas$(1) and what it needs into $(VENV): once, some minutes ...'
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.$(1)'
@touch $@
endef

$(VENV)/run.stamp: pyproject.toml constraints.txt
	$(call install)

$(VENV)/test.stamp: pyproject.toml constraints.txt
	$(call install,[test])
	@touch $(VENV)/run.stamp

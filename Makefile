# Two commands: `make accept` runs the main job, `make test` passes the tests. Both set themselves up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.test-ready
ARGS ?=

# Where the environment forbids byte code, as many images for CI do, each of some hundred processes would compile everything.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: accept docs test ci-test ci-slow ci-wall ci-agreement nightly lint types format bench clean help

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

accept: $(READY) ## set up and run the default suite; ARGS="wan_outage_fast --seed 3" for others
	$(BIN)/shakedown accept $(ARGS)

test: $(TEST_READY) lint ## set up and pass the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not wall and not bench" $(ARGS)

ci-test: $(TEST_READY) ## the longer tests, computing and waiting at the same time
	$(MAKE) --no-print-directory -j 3 --output-sync=target ci-agreement ci-wall ci-slow

ci-slow: $(TEST_READY) ## what computes for long, at the lowest priority: it waits for those whom the clock hurries
	nice -n 19 $(BIN)/python -m pytest -q -n 2 --dist loadfile --timeout 600 -m "slow and not long and not wall and not bench" $(ARGS)

ci-wall: $(TEST_READY) ## wall clock, real brokers, proxies and processes; most of it waits
	$(BIN)/python -m pytest -q -n 2 -m "wall and not long and not bench" --ignore tests/wall/test_agreement.py $(ARGS)

ci-agreement: $(TEST_READY) ## the same run on both clocks; each takes two minutes, and one worker would take them in turn
	$(BIN)/python -m pytest -q -n 2 -m "wall and not long" tests/wall/test_agreement.py $(ARGS)

nightly: $(TEST_READY) ## what CI has no time for (about two hours), and docs/nightly.md of it; ARGS="seeds" for a part
	-$(BIN)/shakedown bridges install telegraf node_opcua node_red thingsboard
	nice -n 10 $(BIN)/python -m tests.nightly $(ARGS)

lint: $(TEST_READY) ## style, import directions, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONSAFEPATH=1 $(BIN)/lint-imports --no-cache

types: $(TEST_READY) ## static types
	$(BIN)/mypy $(addprefix .types/shakedown/,acceptance bridge reports scenarios twin)

format: $(TEST_READY) ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write the tables of the documentation that follow from the code, and from a run of the default suite (two minutes)
	$(BIN)/python -m shakedown.scenarios.doc_tables
	$(BIN)/python -m shakedown.scenarios.reached

bench: $(TEST_READY) ## speed, as ratios beside the bare libraries
	$(BIN)/python -m pytest -q tests/bench -m bench --benchmark-enable --benchmark-sort=name --benchmark-columns=median,ops,rounds $(ARGS)

clean: ## remove the virtual environment and what tools left behind
	rm -rf $(VENV) .types build dist *.egg-info bridge/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): pyproject.toml bridge/pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ./bridge -e .
	touch $@

$(TEST_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ./bridge -e '.[test]'
	mkdir -p .types && ln -sfn .. .types/shakedown
	touch $@

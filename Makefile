# Everything a developer runs. Each target first makes the environment that it needs.

PYTHON ?= python3
VENV ?= .venv
# The CKAN that the environment is for: `make test VENV=.venv-2.11 CKAN=2.11`. setup.cfg has the pins.
CKAN ?= 2.12
# With SERVE=0 the demo ends when it has shown everything.
SERVE ?= 1
# For `make bench`: some lines only (LINES="info insert 1"), rows of the generated tables
# (ROWS="1000000 4000000", 0 for none), few rounds.
LINES ?=
ROWS ?=
QUICK ?=
# For `make growth`: rows above which the stock site is left out, if any.
STOCK_UP_TO ?=
# Arguments for pytest: `make test TESTS="devstack -k search"`.
TESTS ?=
# The engine of `make conformance` and `make browser`, and the packages of CKAN's tests.
ENGINE ?= ducklake
CKAN_TESTS = $(addprefix ckanext.,datastore.tests $(if $(filter 2.12,$(CKAN)),datatablesview.tests) \
	datapusher.tests chained_functions.tests example_idatastorebackend.test)
# The pytest that CKAN 2.11 is pinned to finds no tests by the name of a package without __init__.py.
ifneq ($(CKAN),2.12)
CKAN_TESTS += $(VENV)/lib/python3*/site-packages/ckanext/datatablesview/tests
endif
# How many requests `make differential` makes up, and where in all possible ones it begins.
REQUESTS ?= 1000
SEED ?= 1

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := ckanext/bqdatastore devstack benchmarks conformance
# Chromium has a target of its own.
CHECKED := $(SOURCES) browser

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP)  ## Make the environment in .venv (PYTHON=python3.12 to choose another Python)

# Only when what is to be installed has changed.
$(STAMP): setup.py setup.cfg requirements.txt dev-requirements.txt
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is missing: install Python 3.10, 3.11 or 3.12." >&2; exit 1; }
	@"$(PYTHON)" devstack/preflight.py
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable \
		'.[ducklake,bigquery,dev,ckan$(subst .,,$(CKAN))]'
	@touch $@

.PHONY: demo
demo: venv  ## A site, a file loaded into it and what it answers; served until Ctrl-C (SERVE=0: not)
	@$(BIN)/python -m devstack demo $(if $(filter 0,$(SERVE)),--no-serve)

.PHONY: test
test: venv  ## Run the tests (TESTS="arguments for pytest")
	@$(BIN)/python -m devstack run --bigquery -- \
		$(BIN)/python -m pytest --ckan-ini=test.ini $(or $(TESTS),$(SOURCES))

.PHONY: bench
bench: venv  ## Side by side with the stock backend (LINES="info insert 1" ROWS=1000000 QUICK=1)
	@$(BIN)/python -m benchmarks $(if $(LINES),--lines "$(LINES)") $(if $(ROWS),--rows "$(ROWS)") \
		$(if $(filter-out 0,$(QUICK)),--quick)

.PHONY: growth
growth: venv  ## How lines grow with a table's rows, beside the stock backend (ROWS="1000000 4000000")
	@$(BIN)/python -m benchmarks --growth $(if $(ROWS),--rows "$(ROWS)") \
		$(if $(STOCK_UP_TO),--stock-up-to "$(STOCK_UP_TO)") $(if $(filter-out 0,$(QUICK)),--quick)

.PHONY: conformance
conformance: venv  ## Run CKAN's own tests on our backend (ENGINE=bigquery or postgresql: on that)
	@$(BIN)/python -m devstack run $(if $(filter bigquery,$(ENGINE)),--bigquery) -- \
		$(BIN)/python -m pytest -q -p conformance.plugin --datastore-engine=$(ENGINE) \
		$(if $(filter postgresql,$(ENGINE)),--check-figures) \
		--ckan-ini=conformance/test.ini --import-mode=importlib \
		-o consider_namespace_packages=true \
		--pyargs $(CKAN_TESTS)

.PHONY: browser
browser: venv  ## Use CKAN's pages for tables in Chromium (ENGINE=bigquery or postgresql: on that)
	@$(BIN)/python -m pytest -q -rs -p no:ckan -p no:ckan_fixtures --datastore-engine=$(ENGINE) \
		$(or $(TESTS),browser)

.PHONY: differential
differential: venv  ## Send the same requests to CKAN's own backend and to ours (REQUESTS=1000 SEED=1)
	@DIFFERENTIAL_REQUESTS=$(REQUESTS) $(BIN)/python -m devstack run -- \
		$(BIN)/python -m pytest -q --ckan-ini=test.ini --hypothesis-seed=$(SEED) \
		ckanext/bqdatastore/tests/differential \
		ckanext/bqdatastore/tests/engines/test_ducklake_translate.py

.PHONY: bigquery-costs
bigquery-costs: venv  ## Count what each action asks of BigQuery, and write it into docs/bigquery.md
	@BIGQUERY_COSTS=write $(BIN)/python -m devstack run --bigquery -- $(BIN)/python -m pytest -q \
		--ckan-ini=test.ini ckanext/bqdatastore/tests/test_bigquery_costs.py

.PHONY: bigquery-live
bigquery-live: venv  ## Run the engine's tests on Google's BigQuery (PROJECT=yours LOCATION=EU)
	@test -n "$(PROJECT)" || { echo "Say which project: make bigquery-live PROJECT=yours" >&2; exit 1; }
	@BIGQUERY_LIVE_PROJECT=$(PROJECT) BIGQUERY_LIVE_LOCATION=$(or $(LOCATION),US) \
		$(BIN)/python -m devstack run -- $(BIN)/python -m pytest --ckan-ini=test.ini -k bigquery \
		ckanext/bqdatastore/tests/engines/test_contract.py \
		ckanext/bqdatastore/tests/engines/test_files.py \
		ckanext/bqdatastore/tests/engines/test_languages.py \
		ckanext/bqdatastore/tests/engines/test_versions.py \
		ckanext/bqdatastore/tests/engines/test_bigquery_fulltext.py \
		ckanext/bqdatastore/tests/engines/test_bigquery_translate.py

.PHONY: lint
lint: venv  ## Look for mistakes and wrong format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: venv  ## Check the types
	@$(BIN)/mypy --ignore-missing-imports --explicit-package-bases $(CHECKED)

.PHONY: clean
clean:  ## Remove the environment, the demo and all caches
	@# As root, PostgreSQL may have had to keep its data elsewhere.
	@for data in .demo/postgres .bench/stack/postgres; do \
		if [ -L $$data ]; then rm -rf "$$(readlink $$data)"; fi; \
	done
	rm -rf $(VENV) .venv-2.11 .demo .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

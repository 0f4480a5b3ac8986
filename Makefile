# Everything starts here: `make` lists the targets. A machine needs only Python and make; the first
# target that you call sets up .venv and the dbt packages, once.

SCALE    ?= 10
ONLY     ?= spine web startup ingest
EXAMPLES ?= 500
KILLS    ?= 30
DAMAGES  ?= 105

# dbt writes everything that it does into a file, which takes an eighth of a run's time, and after each command the
# parsed project as JSON, which takes a fifth of what the tests take (measured with tests/python/test_ledger.py).
FEWER_DBT_FILES := DBT_LOG_LEVEL_FILE=info DBT_WRITE_JSON=false
# What dbt warns of fails, but the tests that are to warn of the demo's data. A warning is given where a file is read, so
# all are read.
WARNINGS_FAIL := --no-partial-parse --warn-error-options '{"error": "all", "warn": ["LogTestResult"]}'
# Tests of one file share what is slow to set up. The longest files come first, in our order: xdist would begin with
# those of the most tests, and one of the longest has few.
IN_PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

BIN := .venv/bin

# One place for profiles.yml, whatever the machine has in its home directory.
export DBT_PROFILES_DIR := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help demo picture test test-browser test-airflow test-dagster alerts test-exact test-snowflake try-snowflake test-coverage test-mutants test-faults test-every lint docs bench pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- what people call ----

demo: setup ## Walk through the seeded story, in its own database file
	@$(FEWER_DBT_FILES) $(BIN)/tidemark demo

picture: demo ## Take the picture of the demo's report for docs/report.md; needs Chromium
	$(BIN)/python tests/python/picture.py demo_report.html docs/report.png

test: setup ## Build and test everything on the demo data, then run the Python tests (minutes)
	@rm -rf target/test && mkdir -p target/test
	TIDEMARK_DEMO_PATH=target/test/tidemark.duckdb $(FEWER_DBT_FILES) $(BIN)/dbt $(WARNINGS_FAIL) build
	$(FEWER_DBT_FILES) $(BIN)/pytest -m exact
	@echo "The rest on a machine that lives in New York, which must not matter:"
	$(FEWER_DBT_FILES) TZ=America/New_York $(BIN)/pytest $(IN_PARALLEL) --durations=20 -m "not exact and not mutants"

test-browser: setup browser ## The report in a real browser, which installs Chromium where it is missing
	$(FEWER_DBT_FILES) TIDEMARK_BROWSER=1 $(BIN)/pytest tests/python/test_report.py

# Debian's, where there is none; without one the tests that want it are skipped, and say so.
.PHONY: browser
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit; \
	done; \
	apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null

test-airflow: .venv-airflow/.ready target/scheduled/.ready ## The DAGs of orchestration/airflow in a real Airflow, in a venv of its own
	$(FEWER_DBT_FILES) .venv-airflow/bin/python -m pytest orchestration/airflow/tests --rootdir orchestration/airflow --durations=5

test-dagster: .venv-dagster/.ready target/scheduled/.ready ## The definitions of orchestration/dagster in a real Dagster, likewise
	$(FEWER_DBT_FILES) .venv-dagster/bin/python -m pytest orchestration/dagster/tests --rootdir orchestration/dagster --durations=5

test-exact: setup ## Run the differential test at length (EXAMPLES=500)
	TIDEMARK_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -m exact

test-snowflake: EXAMPLES = 0
test-snowflake: setup ## The project on an emulated Snowflake; with EXAMPLES=50 that many histories, too
	TIDEMARK_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -m snowflake

try-snowflake: setup ## Play the demo in a throw-away database of your Snowflake account; EMULATED=--emulated needs none
	cd tests/python && $(CURDIR)/$(BIN)/python -m on_snowflake.trial $(EMULATED)

test-coverage: setup ## Damage tables at random and let the repair run (DAMAGES=105)
	TIDEMARK_DAMAGES=$(DAMAGES) $(BIN)/pytest -m coverage

test-mutants: setup ## Plant faults one at a time; the differential test must find each
	$(BIN)/pytest -m mutants

alerts: setup ## Print the mails of an outage and its end, from a mail server of the tests' own
	@TIDEMARK_SHOW_MAILS=1 $(BIN)/pytest --quiet -k story_of_an_outage tests/python/test_alerts.py

test-faults: setup ## Kill, stop, starve and break runs and ingestion; writes their pages in docs (KILLS=30)
	@rm -f docs/faults.md docs/ingestion_faults.md
	TIDEMARK_KILLS=$(KILLS) $(BIN)/pytest -m faults

test-every: setup ## A day of tidemark run --every, then two hundred looks with kills (KILLS=30); a row in docs/faults.md
	TIDEMARK_HOURS=24 TIDEMARK_KILLS=$(KILLS) $(FEWER_DBT_FILES) $(BIN)/pytest -m every --durations=0

SQL := models analyses snapshots tests packages/tidemark/models packages/tidemark/analyses
# Those with SQL of their own for increments, and that SQL is theirs to lint; what macros make of them is not.
BRANCHING = $(shell grep --recursive --files-with-matches 'is_incremental()' --include '*.sql' $(SQL))
AND_ALL_ABOVE = $(addprefix +,$(basename $(notdir $(BRANCHING))))
# A target of its own: `.ci/run` tests at the same time.
LINT_DATABASE := TIDEMARK_DEMO_PATH=target/lint/tidemark.duckdb DBT_TARGET_PATH=target/lint/dbt DBT_LOG_PATH=target/lint
NO_TESTS := --exclude-resource-type test --exclude-resource-type unit_test

lint: setup ## Check style and types: ruff, mypy, sqlfluff
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	! grep --recursive --line-number --extended-regexp '.{121}' --include '*.sql' $(SQL) macros packages
	@rm -rf target/lint && mkdir -p target/lint
	$(LINT_DATABASE) $(BIN)/sqlfluff lint --processes 2 $(SQL)
	@echo "Once more with the tables there, for the other branch of is_incremental():"
	$(LINT_DATABASE) $(FEWER_DBT_FILES) $(BIN)/dbt --quiet build $(NO_TESTS) --select $(AND_ALL_ABOVE)
	$(LINT_DATABASE) $(BIN)/sqlfluff lint --processes 1 $(BRANCHING)

docs: setup ## Write the documentation site as one file, target/site/index.html
	@rm -rf target/docs && mkdir -p target/docs target/site
	TIDEMARK_DEMO_PATH=target/docs/tidemark.duckdb $(BIN)/dbt --quiet build $(NO_TESTS)
	TIDEMARK_DEMO_PATH=target/docs/tidemark.duckdb $(BIN)/dbt --quiet docs generate --static
	@cp target/static_index.html target/site/index.html
	@echo "Open target/site/index.html"

bench: setup ## Measure refreshes, increments, start-up (SCALE=10 million events, ONLY=web, spine, startup, ingest)
	$(BIN)/python benchmarks/run.py --only $(ONLY) --scale $(SCALE)

# Valid for every supported Python, and free of the address that the packages came from.
UV_COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	--annotation-style line --no-header --no-emit-index-url --no-emit-find-links pyproject.toml
UV_PINS = $(filter-out pyproject.toml, $(UV_COMPILE))

pins: ## Recompile the pinned requirements from pyproject.toml (needs uv)
	$(UV_COMPILE) --extra dev --output-file requirements-dev.txt
	$(UV_COMPILE) --constraint requirements-dev.txt --output-file requirements.txt
	for each in airflow dagster; do \
		(cd orchestration/$$each && $(UV_PINS) requirements.in --output-file requirements.txt) || exit 1; \
	done

clean: ## Remove what runs have generated; .venv and dbt_packages stay
	rm -rf target logs tidemark.duckdb* demo.duckdb* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache

# ---- set-up ----

.PHONY: orchestrators
orchestrators: .venv-airflow/.ready .venv-dagster/.ready target/scheduled/.ready

# An orchestrator has a venv of its own, since its pins are not the project's.
.venv-%/.ready: orchestration/%/requirements.txt | .venv/.ready
	@echo "Setting up .venv-$*, once"
	@$(BIN)/python -m venv --clear .venv-$*
	@.venv-$*/bin/python .ci/install.py $<
	@touch $@

# What both begin with: the demo after its first run, and what dbt has read of the project.
target/scheduled/.ready: $(shell find models macros seeds snapshots packages -type f) dbt_project.yml | setup
	@rm -rf target/scheduled && mkdir -p target/scheduled/dagster
	@$(SCHEDULED) DBT_LOG_LEVEL_FILE=info $(BIN)/tidemark run --as-of 2025-10-15T12:00:00
	@cp target/scheduled/tidemark.duckdb target/scheduled/built.duckdb
	@TIDEMARK_DUCKDB_PATH=target/scheduled/none.duckdb $(BIN)/dbt --quiet parse --target duckdb \
		--target-path target/scheduled/dagster
	@touch $@

SCHEDULED = TIDEMARK_DEMO_PATH=target/scheduled/tidemark.duckdb DBT_TARGET_PATH=$(CURDIR)/target/scheduled

.PHONY: setup
setup: .venv/.ready dbt_packages/.ready

# Ours alone, or the first suitable one that a machine usually has.
PYTHON   ?=
PYTHONS  := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10 python)
SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PIP      := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check

.venv/.ready: requirements-dev.txt pyproject.toml
	@$(BIN)/python -c 'import pip; $(SUITABLE)' 2>/dev/null && exit; \
	for python in $(PYTHONS); do \
		$$python -c '$(SUITABLE)' 2>/dev/null && exec $$python -m venv --clear .venv; \
	done; \
	echo "Tidemark needs Python 3.10 to 3.13. Tried: $(PYTHONS)." >&2; \
	echo "Name another one: make demo PYTHON=/path/to/python3.12" >&2; \
	exit 1
	@echo "Setting up .venv with $$($(BIN)/python --version): about a minute, once"
	@$(BIN)/python .ci/install.py requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@# On all cores, which pip does not; where the environment forbids byte code, each process would compile again (3 s).
	@$(BIN)/python -m compileall -q -j 0 .venv/lib tidemark || true
	@touch $@

# The stamp, not the package's own files, tells whether it is done: the hub's archive keeps old times.
dbt_packages/.ready: packages.yml $(shell find packages -type f) | .venv/.ready
	@rm -rf dbt_packages
	@if $(BIN)/dbt deps >/dev/null 2>&1; then \
		echo "dbt packages: dbt_utils from the package hub"; \
	else \
		rm -rf dbt_packages && mkdir dbt_packages && \
		cp -R packages/dbt_utils_offline dbt_packages/dbt_utils && \
		ln -s ../packages/tidemark dbt_packages/tidemark && \
		echo "dbt packages: the hub cannot be reached, dbt_utils from packages/dbt_utils_offline"; \
	fi
	@touch $@

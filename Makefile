# Each target makes its own virtual environment from pyproject.toml; nothing installed elsewhere is used.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A worker that dies (a test over its time limit) ends the run: xdist's loadfile waits for ever after a restart.
SPREAD := -n 2 --dist loadfile --max-worker-restart 0
# One BLAS thread a test process: two processes with several threads each slow one another down.
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.PHONY: demo test quick bench check format docs clean leaderboard wheels lowest

demo: $(VENV)/.installed  ## the main job on the bundled data, then its leaderboard
	$(BIN)/harness eval --model trades --suite pgd
	$(BIN)/harness leaderboard --format md

# Slow as a rule means ten seconds and more for one test: `make test MARKS=` runs these, too, as continuous integration does.
MARKS ?= not slow

test: $(VENV)/.installed  ## all tests but the slow ones, some minutes
	$(TEST_ENV) $(BIN)/python -m pytest $(SPREAD) -m "$(MARKS)" $(PYTEST_ARGS)

# Files that say most about a change in the shortest time: pure functions, files on disk, documents, tables.
QUICK := tests/test_architecture.py tests/test_docs.py tests/harness/base tests/harness/inputs tests/harness/evidence/test_store.py \
  tests/harness/evidence/test_metrics.py tests/harness/measure/test_schedule.py tests/harness/run/test_plan.py \
  tests/leaderboard/compare tests/leaderboard/runs/test_collect.py tests/leaderboard/tables tests/model_zoo/training/test_augment.py \
  tests/model_zoo/loading/test_cards.py tests/model_zoo/defenses/test_defenses.py tests/model_zoo/recipe/test_watch.py

quick: $(VENV)/.installed  ## what to run while working; `make test` runs everything
	$(TEST_ENV) $(BIN)/python -m pytest -q $(SPREAD) $(QUICK) $(PYTEST_ARGS)

# The real benchmark's data: make bench BENCH_DATA="--data gtsrb --data-root DIR"; signs are bundled.
BENCH_DATA ?= --data signs
BENCH_N ?= 512
RESULTS := benchmarks/results
SWEEP := $(TEST_ENV) $(BIN)/python benchmarks/sweep.py $(BENCH_DATA) -n $(BENCH_N)
TOOLS := $(TEST_ENV) $(BIN)/python benchmarks/tools.py

bench: $(VENV)/.installed  ## the harness against the bare tools, and docs/performance.md (an hour and more)
	$(TEST_ENV) $(BIN)/python benchmarks/shapes.py -o $(RESULTS)/shapes.json
	$(SWEEP) --model standard -o $(RESULTS)/sweep-standard.json
	$(SWEEP) --model trades -o $(RESULTS)/sweep-trades.json
	$(SWEEP) --model trades --precision bf16 -o $(RESULTS)/sweep-trades-bf16.json
	$(SWEEP) --model trades --mode bisection -o $(RESULTS)/sweep-trades-bisection.json
	$(SWEEP) --model trades --steps 50 --seeds 1 -o $(RESULTS)/sweep-trades-50x16.json \
	  --eps $$(seq -s, -f %g/255 1 16)
	$(SWEEP) --model trades --steps 50 --seeds 1 -o $(RESULTS)/sweep-trades-50x16-bisection.json \
	  --eps $$(seq -s, -f %g/255 1 16) --mode bisection
	$(TEST_ENV) $(BIN)/python benchmarks/bisection.py --model trades $(BENCH_DATA) -o $(RESULTS)/bisection-trades.json
	$(SWEEP) --model trades --mode faithful --eps 8/255 -o $(RESULTS)/faithful-trades.json
	$(TOOLS) autoattack --model trades $(BENCH_DATA) -n 64 -o $(RESULTS)/tools-autoattack-trades.json
	$(TOOLS) art-pgd --model trades $(BENCH_DATA) -n 256 -o $(RESULTS)/tools-art-pgd-trades.json
	$(TOOLS) art-pgd-batch --model trades $(BENCH_DATA) -n 256 -o $(RESULTS)/tools-art-pgd-batch-trades.json
	$(TEST_ENV) $(BIN)/python benchmarks/limit.py --model trades $(BENCH_DATA) -o $(RESULTS)/limit-trades.json
	$(TEST_ENV) $(BIN)/python benchmarks/proposer.py --model trades $(BENCH_DATA) -o $(RESULTS)/proposer-trades.json
	$(BIN)/python benchmarks/page.py

check: $(VENV)/.installed  ## format, lint, types, who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

leaderboard: $(VENV)/.installed  ## LEADERBOARD.md, its curves and leaderboard.html, from leaderboard/published
	$(BIN)/python -m leaderboard.site

wheels: $(VENV)/.installed  ## dist/: the wheel, and the data distributions with the checkpoints that it leaves out
	rm -rf dist build distributions/*/build  # what an earlier build left would be packed, too
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist . ./distributions/*/

lowest:  ## the quickest tests with the lowest versions that pyproject.toml allows, in an environment of their own
	$(PYTHON) tests/install/lowest.py .venv-lowest

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv-docs/.installed  ## the site, in site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

.venv-docs/.installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-docs .venv-lowest distributions/*/build site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

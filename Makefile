# Each target makes its own virtual environment from pyproject.toml; nothing installed elsewhere is used.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One BLAS thread a test process: two processes with several threads each slow one another down.
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.PHONY: demo test check format docs clean leaderboard

demo: $(VENV)/.installed  ## the main job on the bundled data, then its leaderboard
	$(BIN)/harness eval --model trades --suite pgd
	$(BIN)/harness leaderboard --format md

test: $(VENV)/.installed  ## all tests that fit into minutes
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

check: $(VENV)/.installed  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

leaderboard: $(VENV)/.installed  ## LEADERBOARD.md, its curves and leaderboard.html, from leaderboard/published
	$(BIN)/python -m leaderboard.site

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
	rm -rf $(VENV) .venv-docs site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

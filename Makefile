# Needs Python 3.11 or newer, pip and make; everything else is fetched into .tools/ and .venv/ when first needed.
# Another Python: make PYTHON=python3.13 test. More arguments for the program behind a target: make test ARGS="-k plan".

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
UV := $(PYTHON) tools/uv.py
# The name tells which Python was asked for, so that asking for another one prepares .venv again.
READY := .venv/.ready-$(subst /,_,$(PYTHON))
SETTINGS := pyproject.toml tools/uv.py $(wildcard packages/*/pyproject.toml)
TESTS := $(wildcard packages/*/tests) tests $(wildcard examples benchmarks)
PAGES := $(filter-out CHANGELOG.md,$(wildcard *.md packages/*/README.md)) docs
PACKAGES := $(notdir $(wildcard packages/*))

.PHONY: help demo voice serve test simulate simulate-chat simulate-mutants check format bench bench-peers scale coverage build clean
.DEFAULT_GOAL := help

help: ## List the targets
	@while IFS= read -r line; do case "$$line" in \
	    [a-z]*:*'## '*) printf '  make %-16s %s\n' "$${line%%:*}" "$${line##*## }";; \
	esac; done < Makefile

demo: $(READY) ## Chat with a model on the terminal (Groq with GROQ_API_KEY set, a local server without)
	@exec $(BIN)/python -m examples.chat $(ARGS)

voice: $(READY) ## Hear a model's answer while it is written (a WAV file of tones); ARGS="--interrupt-after 2" breaks in
	@exec $(BIN)/python -m examples.voice_turn $(ARGS)

serve: $(READY) ## Serve a chat, and a page that shows its runs while they go on; ARGS="--port 0" takes a free port
	@exec $(BIN)/python -m examples.served_chat $(ARGS)

test: $(READY) ## Run the tests
	@$(BIN)/python -m pytest $(TESTS) $(ARGS)

simulate: $(READY) ## Run 100,000 random pipelines in random orders of their tasks (minutes); ARGS="--seed 7" shows one
	@PYTHONPATH=packages/stageflow-core/tests $(BIN)/python -m simulation $(ARGS)

simulate-chat: $(READY) ## Take 10,000 turns of a ten-stage chat in simulated time, with faults; ARGS="--seed 7" shows one
	@$(BIN)/python -m examples.simulated_chat $(ARGS)

simulate-mutants: $(READY) ## See whether the simulation finds bugs that are planted in the executor (minutes)
	@PYTHONPATH=packages/stageflow-core/tests $(BIN)/python -m simulation.mutants $(ARGS)

check: $(READY)-check ## Lint, check types, imports, dependencies and changelog, and run the snippets in the docs
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo
	@for package in $(PACKAGES); do \
	    $(BIN)/deptry --no-ansi --config packages/$$package/pyproject.toml packages/$$package/src || exit 1; done
	@told=$$($(BIN)/towncrier build --draft --version next 2>&1) || { echo "$$told" >&2; exit 1; }
	@$(BIN)/python -m pytest -q $(PAGES)

format: $(READY)-check ## Lay out the code, and mend what the linter can mend
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

bench: $(READY) ## Measure the executor against hand-written asyncio
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(READY) ## Measure other frameworks, each in an environment of its own, made when first needed
	@$(BIN)/python -m benchmarks.peers $(ARGS)

scale: $(READY) ## Run 100,000 stages, a map of 1,000,000 items and crowds of runs, and see how they grow (minutes)
	@$(BIN)/python -m benchmarks.scale $(ARGS)

coverage: $(READY) ## Run the tests, and show which branches they miss; core must reach 90 %
	@$(BIN)/python -m pytest -q --cov --cov-report= $(TESTS) $(ARGS)
	@$(BIN)/coverage report
	@printf 'core, in percent: '
	@$(BIN)/coverage report --include='packages/stageflow-core/*' --fail-under=90 --format=total

build: $(READY) ## Build the four distributions into dist/
	@$(UV) build --quiet --clear --all-packages --out-dir dist
	@ls dist

clean: ## Remove the environments, the tools, the builds and the caches
	@rm -rf .venv .tools benchmarks/.envs dist uv.lock .coverage .coverage.* htmlcov .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@$(PYTHON) -c 'import pathlib, shutil; [*map(shutil.rmtree, pathlib.Path().rglob("__pycache__"))]'

$(READY): $(SETTINGS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	    echo "Stageflow needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	        "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Preparing .venv ..." >&2
	@$(UV) sync --quiet --all-packages --all-extras --no-default-groups --group test < /dev/null
	@touch $@

$(READY)-check: $(READY)
	@$(UV) sync --quiet --all-packages --all-extras --no-default-groups --group dev < /dev/null
	@touch $@

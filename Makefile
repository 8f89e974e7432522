# Two commands do everything: `make demo` shows what ganhash does, `make test` checks all of it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help venv system demo test test-slow fuzz faults bench bench-scale docs format clean audit

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/plain ## generate, train, encode and query in build/demo, on the bundled sample
	@rm -rf build/demo && mkdir -p build/demo
	@export PATH="$$(cd $(BIN) && pwd):$$PATH"; cd build/demo && sh ../../examples/quickstart.sh

test: $(VENV)/dev ## format check, lint, strict types and all tests but the slow ones
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

test-slow: $(VENV)/dev ## the tests that take over a minute
	$(BIN)/pytest -m slow

fuzz: $(VENV)/dev ## fuzz what reads files of strangers, guided by coverage, TIME=60 seconds a target; build/fuzz
	$(call install,.[fuzz])
	@for target in image codes bundle csv toml http; do \
	  PYTHONPATH=tests:tests/attacks $(BIN)/python tests/attacks/fuzz.py $$target $(or $(TIME),60) build/fuzz || exit 1; done

audit: $(VENV)/dev ## compare what is installed with the known holes (pip-audit); asks the network
	$(BIN)/pip-audit --skip-editable

faults: $(VENV)/dev ## kill, fill, refuse and damage what there is; build/reliability.json. KILLS=2000: so often
	GANHASH_KILLS='$(KILLS)' $(BIN)/pytest -m 'slow or not slow' tests/faults

bench: $(VENV)/dev ## time ganhash beside what one would use instead; build/bench.json and a table. IMAGES=FOLDER: JPEGs of yours
	GANHASH_BENCH_IMAGES='$(IMAGES)' $(BIN)/pytest -m bench -s tests/bench

bench-scale: $(VENV)/dev ## time search among ten thousand to MOST=1e8 codes; build/scale.json. 1e8 take an hour, 12 GB of memory
	PYTHONPATH=tests $(BIN)/python tests/bench/scale.py --most $(or $(MOST),1e8)

docs: $(VENV)/dev ## write docs/cli.md anew from the commands, and the figures of the pages from docs/results/
	$(BIN)/python -m typer ganhash_cli.app utils docs --name ganhash --output docs/cli.md
	$(BIN)/python docs/results/build.py

format: $(VENV)/dev ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(VENV)/dev ## make .venv with the package and the development tools

system: ## install the browser and the shells that some tests drive; on Debian and Ubuntu, as root
	@command -v chromium zsh fish >/dev/null && [ "$$(command -v chromium zsh fish | wc -l)" = 3 ] || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium zsh fish; }

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

# `made`, `plain` and `dev` are empty files that say how far .venv is; a run that broke off left none.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ganhash needs Python 3.11 or newer, and $(PYTHON) is none."; \
	  echo "Install one, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) comes without venv or pip. On Debian and Ubuntu: sudo apt install python3-venv"; \
	  exit 1; } >&2
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/plain: $(VENV)/made pyproject.toml
	$(call install,.[serve])
	@touch $@

$(VENV)/dev: $(VENV)/made pyproject.toml
	$(call install,.[dev])
	@touch $@ $(VENV)/plain

# pip says little, but each download with its size: torch and what it needs can be gigabytes.
define install
@echo "installing ganhash into $(VENV); the first time this takes minutes and gigabytes, for torch"
@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e '$(1)' \
  | { grep --line-buffered -E '^ *Downloading|^(Building|Installing collected|Successfully installed)' || true; } | cut -c 1-160
endef

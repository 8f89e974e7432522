# Two commands do everything: `make demo` shows what ganhash does, `make test` checks all of it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := bash
# Processes that test: one more than there are processors, since tests also wait.
TESTERS ?= $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))
.DEFAULT_GOAL := help
.PHONY: help venv system demo test test-slow fuzz cover mutants faults bench bench-scale docs site gallery format clean audit

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/plain ## generate, train, encode and query in build/demo, on the bundled sample
	@rm -rf build/demo && mkdir -p build/demo
	@export PATH="$$(cd $(BIN) && pwd):$$PATH"; cd build/demo && sh ../../examples/quickstart.sh

test: $(VENV)/dev ## format check, lint, strict types and all tests but the slow ones; TESTERS=1: one at a time
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) --dist loadfile

test-slow: $(VENV)/dev ## the tests that take over a minute
	$(BIN)/pytest -m slow

fuzz: $(VENV)/dev ## fuzz what reads files of strangers, guided by coverage, TIME=60 seconds a target; build/fuzz
	$(call install,.[fuzz])
	@for target in image codes bundle csv toml http; do \
	  PYTHONPATH=tests:tests/attacks $(BIN)/python tests/attacks/fuzz.py $$target $(or $(TIME),60) build/fuzz || exit 1; done

COVERED := $(addprefix tests/test_,files.py bundle.py codes.py chunks.py checkpoint.py merger.py shards.py encoder.py address.py) \
  $(addprefix tests/test_,decoders.py images.py verify_command.py) \
  $(addprefix tests/attacks/test_,codes_files.py untrusted.py models.py) \
  $(addprefix ganhash_cli/engine/,codes_format.py children.py address.py names.py)
cover: $(VENV)/dev ## branch coverage of what stores, opens and decodes, by the tests of these alone; below 95 % it fails
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -q $(COVERED)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-empty --show-missing --fail-under 95

mutants: $(VENV)/dev ## break what stores, opens and decodes in small ways, see tests fail; hours, resumable. MUTANTS='*.files.*': those
	$(call install,.[mutants])
	OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 nice $(BIN)/mutmut run --max-children 1 $(if $(MUTANTS),'$(MUTANTS)')
	$(BIN)/python tests/mutation_score.py

audit: $(VENV)/dev ## compare what is installed with the known holes (pip-audit); asks the network
	$(BIN)/pip-audit --skip-editable

faults: $(VENV)/dev ## kill, fill, refuse and damage what there is; build/reliability.json. KILLS=2000: so often
	GANHASH_KILLS='$(KILLS)' $(BIN)/pytest -m 'slow or not slow' tests/faults

bench: $(VENV)/dev ## time ganhash beside what one would use instead; build/bench.json and a table. IMAGES=FOLDER: JPEGs of yours
	GANHASH_BENCH_IMAGES='$(IMAGES)' $(BIN)/pytest -m bench -s tests/bench

bench-scale: $(VENV)/dev ## time search among ten thousand to MOST=1e8 codes; build/scale.json. 1e8 take ten minutes, 11 GB of memory
	PYTHONPATH=tests $(BIN)/python tests/bench/scale.py --most $(or $(MOST),1e8)

docs: $(VENV)/dev ## write docs/cli.md anew from the commands, and the figures of the pages from docs/results/
	$(BIN)/python -m typer ganhash_cli.app utils docs --name ganhash --output docs/cli.md
	$(BIN)/python docs/results/build.py

site: $(VENV)/dev ## build the documentation as a site, strictly; build/site/index.html
	$(BIN)/python -m zensical build --strict

gallery: $(VENV)/dev ## run the commands of docs/gallery.md and keep the pictures of what they made; needs Chromium
	PYTHONPATH=tests $(BIN)/python docs/images/build.py

format: $(VENV)/dev ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(VENV)/dev ## make .venv with the package and the development tools

system: ## install the browser and the shells that some tests drive; on Debian and Ubuntu, as root
	@command -v chromium zsh fish >/dev/null && [ "$$(command -v chromium zsh fish | wc -l)" = 3 ] || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium zsh fish; }

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist mutants .mypy_cache .ruff_cache .pytest_cache

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

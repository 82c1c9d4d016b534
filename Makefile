# `make setup`, `make demo` and `make test` create .venv by themselves; all they need is Python 3.11 or newer.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo-archive
CANDIDATES := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint sample docs clean

help:  ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(READY)  ## Install the software into .venv, or update it

demo: $(READY)  ## Restore the sample archive into ./demo-archive and write a report
	@$(BIN)/archive demo $(DEMO)

test: $(READY) lint  ## Run all checks and all tests that this machine can run
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY) lint  ## Run the quick checks: ruff, mypy, import-linter and the unit tests
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not postgres and not integration'

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sample: $(READY)  ## Recreate the scans of sample_archive
	$(BIN)/python sample_archive/make.py

docs: $(READY)  ## Regenerate docs/reference/commands.md and the sheets in docs
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_ageing_sheet.py
	$(BIN)/python docs/make_style_sheet.py

clean:  ## Remove what was set up and made here
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# torch comes first and from constraints.txt, so that the tests' and the software's other packages fit to it.
$(READY): pyproject.toml constraints.txt
	@found=; for python in $(CANDIDATES); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$python"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "No Python 3.11 or newer with its venv module was found (looked for: $(CANDIDATES))." >&2; \
	  echo "Install one, on Debian and Ubuntu with: apt install python3 python3-venv. Or name it: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$found" --version). This takes some minutes."; \
	rm -rf $(VENV) && "$$found" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,web]'
	@touch $(READY)

# `make demo` shows the whole way on a fresh machine; `make test` runs all tests; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO := demo/mymodel

.PHONY: help demo test lint format types docs rules kills bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/runtime ## write a project, train it, evaluate it, predict three sentences
	@test ! -e $(DEMO) || { echo "$(DEMO) exists already: edit $(DEMO)/mymodel/model.py and run make train there, or remove it first"; exit 3; }
	@mkdir -p demo
	$(BIN)/scaffold new sequence-classifier mymodel --into demo --no-git
	$(MAKE) --no-print-directory -C $(DEMO) train evaluate PYTHON=$(CURDIR)/$(BIN)/python
	@printf '%s\n' 'dim the lamp in the hallway' 'will it rain on my way home' 'add rice to the list' \
		| $(MAKE) --no-print-directory -C $(DEMO) predict PYTHON=$(CURDIR)/$(BIN)/python
	@echo
	@echo "The project is in $(DEMO). Edit $(DEMO)/mymodel/model.py, then: cd $(DEMO) && make train PYTHON=$(CURDIR)/$(BIN)/python"

test: .venv/dev ## run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: .venv/dev ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

rules: .venv/dev ## write docs/rules.md from the rules of scaffold/check
	$(BIN)/python -m scaffold.check.pages docs/rules.md

docs: .venv/dev ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

kills: .venv/dev ## the long fault tests: 1,400 kills of `scaffold new`, 900 of `update`, 300 of a checkpoint write, 80 resumes
	$(BIN)/python benchmarks/kill_new.py
	$(BIN)/python benchmarks/kill_update.py
	$(BIN)/python benchmarks/kill_checkpoint.py
	$(BIN)/python benchmarks/resume_cuts.py

bench: .venv/dev ## every benchmark; each is a command of its own, see docs/benchmarks.md
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/first_step.py
	$(BIN)/python benchmarks/memory.py

clean: ## remove caches and what the demo wrote
	rm -rf demo site build dist .pytest_cache .ruff_cache .mypy_cache

.venv/runtime: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the runtime into .venv (torch is large: this takes a few minutes once)"
	$(INSTALL) -e '.[runtime]'
	@touch $@

.venv/dev: .venv/runtime
	$(INSTALL) -e '.[dev]'
	@touch $@

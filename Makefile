# The commands of the README. Everything is installed into .venv; nothing else is touched.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= $(or $(SOFTANSWER_PORT),8080)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: serve test lint types openapi bench fmt clean

$(VENV)/runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/dev: $(VENV)/runtime
	$(PIP) --editable '.[dev]'
	touch $@

serve: $(VENV)/runtime
	SOFTANSWER_PORT=$(PORT) exec $(BIN)/softanswer serve

test: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/softanswer check-data

types: $(VENV)/dev
	$(BIN)/mypy

openapi: $(VENV)/dev
	$(BIN)/python -m openapi.generate

# The short forms; what each prints, and the long forms: bench/README.md.
bench: $(VENV)/dev
	$(BIN)/python -m bench.limit
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.soak

fmt: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist

# The usual tasks of a developer. `make` alone lists them; docs/development.md explains them.
# A target that takes arguments: make test ARGS="tests/wire -x"
# pytest ends with 5 if it found no test, as with those arguments for one of two runs.

PYTHON ?= python3
BIN = .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run services client test test-fast lint format texts faults bench

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(BIN)/.ready  ## make .venv with everything that the tests need

$(BIN)/.ready: requirements.txt tests/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement tests/requirements.txt
	@touch $@

run: setup  ## run the demo: make run ARGS="--port 8001"
	$(BIN)/python manage.py demo $(ARGS)

services: setup  ## start a Redis and a PostgreSQL for development, and print their addresses
	$(BIN)/python -m harness $(ARGS)

client:  ## build the static files of the browser client (needs Node and npm)
	npm ci --prefix clients/js --no-audit --no-fund
	node clients/js/build.js

test: setup  ## run all tests: with servers, a browser and faults
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not alone" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m alone $(ARGS) || [ $$? -eq 5 ]

test-fast: setup  ## run the tests that need no server, with fewer examples and combinations
	$(BIN)/python -m pytest -n auto -m "unit and not exhaustive" --hypothesis-profile short $(ARGS)

lint: setup  ## check style, types and migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

format: setup  ## format the code and sort the imports
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

texts: setup  ## update and compile the translations (needs GNU gettext)
	cd realtime && ../$(BIN)/django-admin makemessages --all --no-location --no-obsolete
	cd realtime && ../$(BIN)/django-admin compilemessages

faults: setup  ## break running servers, short form: make faults ARGS="F1 G2"
	$(BIN)/python -m tests.faults $(ARGS)

bench: setup  ## measure: make bench ARGS="latency --quick --peers --server daphne"
	$(BIN)/python -m benchmarks $(ARGS)

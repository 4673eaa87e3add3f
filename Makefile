PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all:
# One folder on loan to both: an installed lock leaves a stamp beside the interpreter.
RUN_STAMP  := $(VENV)/.installed-cpu
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.PHONY: help run test lint env docker-try lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(PY):
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): locks/cpu.txt | $(PY)
	$(PIP) -r $<
	@touch $@

$(TEST_STAMP): locks/test.txt | $(PY)
	$(PIP) -r $<
	@touch $@ $(RUN_STAMP)

run: $(RUN_STAMP)  ## install, start PostgreSQL if none is named, migrate, serve on 127.0.0.1:8000
	@exec $(PY) -m app serve

test: $(TEST_STAMP) lint  ## lint, types, import rules and every test but the long ones
	$(PY) -m pytest

env:  ## write .env for docker compose, with random passwords
	@docker/make-env.sh

docker-try: $(TEST_STAMP)  ## try the compose installation without an image registry (root, Debian)
	@docker/try-offline.sh

lint: $(TEST_STAMP)  ## ruff, mypy --strict, import rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The locks are made with uv (any recent one), which knows how to leave a dependency out.
COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
           --generate-hashes --no-emit-index-url --override locks/overrides.txt
lock:  ## make the lock files anew from pyproject.toml (needs uv)
	$(COMPILE) --extra cpu -o locks/cpu.txt
	$(COMPILE) --extra cpu --extra test -o locks/test.txt
	$(COMPILE) --extra gpu --override locks/overrides-gpu.txt -o locks/gpu.txt

clean:  ## remove the virtual environment and caches (never the data directory)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

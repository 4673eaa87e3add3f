PYTHON ?= python3
VENV   := .venv
DEMO   ?= .demo
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all:
# One folder on loan to both: an installed lock leaves a stamp beside the interpreter.
RUN_STAMP  := $(VENV)/.installed-cpu
TEST_STAMP := $(VENV)/.installed-test
# Tools that the service and its tests do not need have an environment of their own.
TOOLS       := .venv-tools
TOOLS_STAMP := $(TOOLS)/.installed
FUZZ_SECONDS ?= 600
# Many tests wait, for a start or a refusal in time: two workers get through them in less time.
WORKERS ?= 2
BENCH       := $(PY) -m benchmarks.
# Those that need no pictures.
ALONE       := search kernels mixed growth start frugality
TORCH       := torch==2.13.0
# The scan kernels are C. Where they cannot be built, search is exact on float32 without them.
KERNELS       := $(VENV)/.installed-kernels
# The command `rollcall`, and the client that it asks with: links to this checkout, no copies.
COMMAND       := $(VENV)/.installed-command
KERNEL_FILES  := $(wildcard kernels/*.py kernels/*.toml kernels/*/*.py kernels/*/*.c kernels/*/*.h)

.DEFAULT_GOAL := help
.PHONY: help run test test-long kills soak fuzz bench train-demo lint openapi screenshots env docker-try supply-chain lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(PY):
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): locks/cpu.txt | $(PY)
	$(PIP) -r $<
	@touch $@

# PyTorch is in no lock: which build fits (CPU, CUDA) depends on the machine and where pip looks,
# and the hash with it. The service never installs it.
$(TEST_STAMP): locks/test.txt | $(PY)
	$(PIP) -r $<
	$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@ $(RUN_STAMP)

$(KERNELS): locks/build.txt $(KERNEL_FILES) | $(PY)
	$(PIP) -r $<
	@rm -rf kernels/build
	@if $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --force-reinstall ./kernels; then touch $@; else echo \
	    'The scan kernels were not built (is there a C compiler?): going on without them.'; fi

$(COMMAND): locks/build.txt pyproject.toml | $(PY)
	$(PIP) -r $<
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS_STAMP): locks/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --no-deps --only-binary=:all: -r $<
	@touch $@

run: $(RUN_STAMP) $(COMMAND) $(KERNELS)  ## install, start PostgreSQL if none is named, migrate, serve on 127.0.0.1:8000
	@exec $(PY) -m app serve

test: $(TEST_STAMP) $(COMMAND) $(KERNELS) lint  ## lint, types, import rules and every test but the long ones
	$(PY) -m pytest -n $(WORKERS) --dist loadfile

env:  ## write .env for docker compose, with random secrets
	@docker/make-env.sh

docker-try: $(TEST_STAMP) $(COMMAND)  ## try the compose installation without an image registry (root, Debian)
	@docker/try-offline.sh

supply-chain: $(TOOLS_STAMP)  ## SBOM, licence list and audit of the locks, in dist/
	$(TOOLS)/bin/python -m supply

test-long: $(TEST_STAMP) $(COMMAND) $(KERNELS)  ## the tests that take minutes
	$(PY) -m pytest -m long

kills: $(TEST_STAMP) $(COMMAND)  ## two hundred kills of service and PostgreSQL at named places, under traffic
	$(PY) -m pytest -m long tests/system/test_kill.py

soak: $(TEST_STAMP) $(COMMAND)  ## an hour of traffic with a fault a minute (MINUTES=5 for less)
	SOAK_MINUTES=$(or $(MINUTES),60) $(PY) -m pytest -m long tests/system/test_soak.py

fuzz: $(TOOLS_STAMP)  ## feed the decoders random files (FUZZ_SECONDS=600 for each format)
	@for format in jpeg png webp exif; do \
	    echo "fuzzing $$format for $(FUZZ_SECONDS) s" && \
	    $(TOOLS)/bin/python -m tests.fuzz.fuzz_$$format -max_total_time=$(FUZZ_SECONDS) \
	        -print_final_stats=1 -artifact_prefix=fuzz-finding-$$format- || exit 1; \
	done

train-demo: $(TEST_STAMP) $(COMMAND)  ## photos to crops to a trained, measured pack (PHOTOS=folder for yours)
	$(PY) -m models.training demo --out $(DEMO) $(if $(PHOTOS),--photos $(PHOTOS))

bench: $(TEST_STAMP) $(COMMAND)  ## every benchmark, short (DATA=folder with lfw/; PACK=folder of InsightFace's files)
	@for name in $(ALONE); do $(BENCH)$$name --quick || exit 1; done
	@if [ -n "$(DATA)" ]; then for name in pipeline service bulk detection; do \
	    $(BENCH)$$name --data $(DATA) --quick || exit 1; done; fi
	@if [ -n "$(DATA)" ] && [ -n "$(PACK)" ]; then \
	    for name in plain_route two_stage; do \
	    $(BENCH)$$name --data $(DATA) --pack $(PACK) --quick || exit 1; done; fi
	@$(BENCH)gpu --quick || [ $$? -eq 3 ]

lint: $(TEST_STAMP) $(COMMAND) $(KERNELS)  ## ruff, mypy --strict, import rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

openapi: $(TEST_STAMP)  ## write what clients are made of anew, after a change of the API (needs npm)
	$(PY) -m clients.generate
	cd clients/typescript && npm ci --silent && npm run --silent generate

screenshots: $(TEST_STAMP)  ## make the pictures of docs/console.md anew (needs Chromium)
	$(PY) -m tests.console.screenshots

# The locks are made with uv (any recent one), which knows how to leave a dependency out.
COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
           --generate-hashes --no-emit-index-url --override locks/overrides.txt
lock:  ## make the lock files anew from pyproject.toml (needs uv)
	$(COMPILE) --extra cpu -o locks/cpu.txt
	$(COMPILE) --extra cpu --extra test --extra train --override locks/overrides-test.txt -o locks/test.txt
	$(COMPILE) --extra gpu --override locks/overrides-gpu.txt -o locks/gpu.txt
	$(COMPILE) --extra cpu --extra tools -o locks/tools.txt
	uv pip compile locks/build.in --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url -o locks/build.txt

clean:  ## remove the virtual environment and caches (never the data directory)
	rm -rf $(VENV) $(TOOLS) dist build *.egg-info kernels/build kernels/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

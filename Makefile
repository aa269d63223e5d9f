# Everything a person does with the checkout. Each target sets up .venv first when it must.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Files share servers, so each stays whole; they come in the order of tests/conftest.py. The long
# ones wait most of the time, and the unit tests, which only compute, fill what they leave.
WHOLE_FILES := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo modes test slow check conformance ffhq-sized bench seed scaling chaos matrix model fuzz mutants constraints clean
.DEFAULT_GOAL := help

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv with everything in it
	@:

demo: $(READY)  ## run eight jobs end to end and draw a contact sheet (ARGS=--keep leaves it up)
	@$(BIN)/python -m barber.cli demo $(ARGS)

modes: $(READY)  ## run every mode on drawn people and draw a contact sheet
	@$(BIN)/python -m barber.cli modes $(ARGS)

test: $(READY)  ## unit, conformance, integration and browser tests
	@OMP_NUM_THREADS=1 $(WHOLE_FILES) -n 4 -m "not slow" --durations 12 \
	    tests/browser tests/conformance tests/integration tests/unit

slow: $(READY)  ## what `make test` leaves out: other brokers, the demo, chaos, a large photograph
	@OMP_NUM_THREADS=1 $(WHOLE_FILES) -n 3 -m slow \
	    tests/integration tests/conformance/test_vectors.py \
	    -k "integration or face_alignment or (trajectory_256 and (w_plus_a or fs_a))"

check: $(READY)  ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

conformance: $(READY)  ## compare with every reference vector, one line per array; some 20 minutes on one core
	@$(BIN)/python -m tests.conformance $(ARGS)

ffhq-sized: $(READY)  ## run every stage at 1024 on the CPU and write time and memory to docs/ffhq-sized.md
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.conformance.ffhq_sized --write docs/ffhq-sized.md $(ARGS)

bench: $(READY)  ## measure overhead, claims, ticks and more for docs/benchmarks.md (NAME=.. for one)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks $(or $(NAME),all) --write docs/benchmarks.md $(ARGS)

seed: $(READY)  ## write JOBS made-up jobs into the running catalogue, to try the console with many
	@$(BIN)/python -m tests.benchmarks.seeding --jobs $(or $(JOBS),100000) $(ARGS)

scaling: $(READY)  ## simulate the queue with the measured costs and write docs/scaling.md
	@$(BIN)/python -m tests.benchmarks.scaling $(ARGS)

chaos: $(READY)  ## kill the system at random under toy jobs, then check the record (SEED=n JOBS=n)
	@$(BIN)/python -m barber.cli chaos $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

matrix: $(READY)  ## cause every fault of docs/failure-matrix.md on every broker, then measure the recoveries
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m matrix tests/integration $(ARGS)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.integration.recovery --write docs/failure-matrix.md

model: $(READY)  ## hold the catalogue against its plain-Python model for STEPS steps (SEED=n STEPS=n)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.model $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS)) $(ARGS)

fuzz: $(READY)  ## ask the API EXAMPLES (200) ways for each of its operations, by chance or SEED=n
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),200) $(if $(SEED),FUZZ_SEED=$(SEED)) OMP_NUM_THREADS=1 \
	    $(BIN)/python -m pytest tests/integration/test_api_fuzz.py $(ARGS)

mutants: $(READY)  ## plant faults in the catalogue one by one and see whether the model finds them
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.model.mutants $(ARGS)

constraints: $(READY)  ## compile constraints.txt from pyproject.toml again
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-annotate --quiet \
	    --custom-compile-command 'make constraints' --output-file constraints.txt

clean:  ## remove .venv, caches and demo-out; .barber with its data stays
	@rm -rf $(VENV) demo-out modes-out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	    .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A new enough Python is looked for by name; PYTHON=... names it by hand.
$(READY): pyproject.toml constraints.txt
	@set -e; \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        found=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo 'make: Python 3.11 or newer is needed: install it, or name it with PYTHON=/path' >&2; \
	    exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "make: $$found has no venv module: install it (Debian: apt-get install python3-venv)" >&2; \
	    exit 1; \
	fi; \
	echo 'Setting up .venv (once; a few minutes when the packages must be downloaded) ...'; \
	"$$found" -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv; \
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt \
	    -e '.[standalone]' --group dev; \
	touch $@

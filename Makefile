# Everything runs in .venv; only python3 (3.10 or newer) and make are needed beforehand.
# The stamps in .venv remember what is installed there, so a second run installs nothing.

.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# Neighbours in a file want the same objects: run by one worker, they do not wait for each other.
SPREAD = -n $(JOBS) --dist worksteal

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && echo $$p && break; \
	done)
endif

# Without gcc and clang the compiler comes through pip, as the extra "cc".
ifeq ($(shell command -v gcc || command -v clang || true),)
CC_EXTRA := ,cc
endif

INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
stamp = $(VENV)/.installed-$(1)$(CC_EXTRA)

.PHONY: help demo test test-all lint differential fuzz sanitize bench clean

help:
	@echo "make demo          train the digits classifier eagerly and compiled (examples/digits.py)"
	@echo "make test          the tests"
	@echo "make test-all      every test, every variant, every sample of PyTorch's own tests"
	@echo "make lint          ruff and mypy"
	@echo "make differential  the tests that compare with PyTorch"
	@echo "make fuzz          2,000 random programs with PyTorch, eagerly and compiled"
	@echo "make sanitize      the tests of generated code under sanitizers (gcc)"
	@echo "make bench         the benchmarks against PyTorch and JAX"
	@echo "make clean         remove .venv and everything built"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "graphc needs Python 3.10 or newer; none was found"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# .venv/.installed-demo holds the extra "demo", and likewise for the others.
$(call stamp,%): pyproject.toml | $(BIN)/python
	@echo "installing graphc[$*$(CC_EXTRA)] into $(VENV)"
	@$(INSTALL) -e '.[$*$(CC_EXTRA)]'
	@touch $@

demo: $(call stamp,demo)
	$(BIN)/python examples/digits.py

test: $(call stamp,test)
	$(BIN)/python -m pytest $(SPREAD) -m "not differential"

test-all: $(call stamp,test) $(call stamp,differential)
	$(BIN)/python -m pytest $(SPREAD) --full

lint: $(call stamp,test) $(call stamp,lint)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

differential: $(call stamp,test) $(call stamp,differential)
	$(BIN)/python -m pytest $(SPREAD) -m differential

FUZZ ?= --programs 2000
fuzz: $(call stamp,test) $(call stamp,differential)
	$(BIN)/python -m tests.fuzz $(FUZZ) --jobs $(JOBS)

# Every generated kernel of these tests under AddressSanitizer and UndefinedBehaviorSanitizer.
PRELOAD = from graphc.backends.c import find_compiler, open_cache, sanitizer_preload; \
	print(sanitizer_preload(find_compiler(open_cache())))
sanitize: $(call stamp,test)
	preload=$$($(BIN)/python -c "$(PRELOAD)") && \
	env LD_PRELOAD=$$preload ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
	    GRAPHC_SANITIZE=1 $(BIN)/python -m pytest $(SPREAD) -m "not differential" -k "not cuda" \
	    --ignore tests/compile/test_cost.py tests/ops/test_rows_compiled.py tests/compile \
	    tests/codegen tests/nn/test_compiled_layers.py

# All tables, which takes an hour or so: make bench BENCH="--table all"
BENCH ?= --table main
bench: $(call stamp,demo)
	$(BIN)/python examples/benchmarks/run.py $(BENCH)

clean:
	rm -rf $(VENV) build dist digits_output .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

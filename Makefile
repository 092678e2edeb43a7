# `make help` lists what there is. Everything is installed into .venv and .cache, nothing outside this directory.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet --retries 10 --timeout 30
CARGO := cargo
RUST := $(shell find rust -name '*.rs') Cargo.toml Cargo.lock pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 18

.PHONY: demo
demo: $(VENV)/demo ## a server with a live page, on this machine's own readings
	$(BIN)/fanwire demo

.PHONY: test
test: test-rust test-python autobahn ## every test

.PHONY: test-rust
test-rust: tools ## the core's tests, without Python, and its queue under loom
	$(CARGO) test --quiet
	RUSTFLAGS="--cfg loom" $(CARGO) test --quiet --release --lib --target-dir target/loom queue

.PHONY: test-python
test-python: $(VENV)/dev ## units, contracts, and the real engine over real sockets
	$(BIN)/pytest -q

.PHONY: autobahn
autobahn: $(VENV)/dev ## the Autobahn suite, compared case by case (skipped where there is no Python 2.7)
	$(BIN)/python tests/autobahn/run.py

.PHONY: soak
soak: $(VENV)/dev ## the long forms of the tests that are shortened otherwise
	FANWIRE_CYCLES=100000 FANWIRE_CUTS=1000 FANWIRE_RENEWALS=300 $(BIN)/pytest -q --timeout 1800 \
	  tests/system/test_cycles.py tests/system/test_cuts.py tests/system/test_renewal_load.py

.PHONY: check
check: $(VENV)/dev ## formatting, lints and types
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	$(CARGO) clippy --quiet --features python -- -D warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy benches/load/run.py benches/load/target.py benches/micro
	$(BIN)/mypy tests/autobahn/run.py tests/autobahn/server.py
	MYPYPATH=python $(BIN)/stubtest fanwire._engine

.PHONY: format
format: $(VENV)/dev ## what `check` wants of the formatting
	$(CARGO) fmt --all
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(VENV)/dev ## fanwire beside its peers; table and plots go to benches/results/
	$(BIN)/python benches/load/run.py
	$(BIN)/pytest -q benches/micro --benchmark-only
	$(CARGO) bench --quiet

.PHONY: wheel
wheel: $(VENV)/dev ## a wheel for every Python from 3.10 on, in dist/
	$(BIN)/maturin build --release --out dist

.PHONY: clean
clean: ## removes all that was made
	rm -rf $(VENV) .cache target dist

# What has to be there before anything: one line for each that is missing.
.PHONY: tools
tools:
	@command -v $(CARGO) >/dev/null || { echo "fanwire: no Rust toolchain; get 1.88 or newer with rustup (Debian: apt install rustup)"; exit 1; }
	@command -v cc >/dev/null || { echo "fanwire: no C linker; get one (Debian: apt install gcc libc6-dev)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo "fanwire: no Python 3.10 or newer as '$(PYTHON)'; install one, or name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "fanwire: $(PYTHON) cannot make virtual environments (Debian: apt install python3-venv)"; exit 1; }

$(VENV)/pip: | tools
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install 'maturin>=1.9,<2'
	touch $@

# The virtual environment has what the demo needs, or what developers need; either has the engine of these sources.
$(VENV)/engine: $(RUST) | $(VENV)/pip
	. $(BIN)/activate && PIP_QUIET=1 maturin develop --quiet --release --extras demo
	touch $@

$(VENV)/demo: $(VENV)/engine
	touch $@

$(VENV)/dev: $(VENV)/engine pyproject.toml
	$(PIP) install --group dev
	touch $@

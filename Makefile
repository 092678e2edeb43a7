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
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 22

.PHONY: demo
demo: $(VENV)/demo ## a server with a live page of this machine's own readings
	$(BIN)/fanwire demo

.PHONY: test
test: test-rust test-python autobahn ## every test: a quarter of an hour on two cores

.PHONY: test-rust
test-rust: tools ## the engine's tests without Python, and its queues under loom
	$(CARGO) test --quiet --features nats
	RUSTFLAGS="--cfg loom" $(CARGO) test --quiet --profile loom --lib --target-dir target/loom -- every_interleaving

# Most tests wait more than they compute: four at once keep two cores busy. Python may keep what it has compiled, whatever
# the environment says: otherwise every process that a test starts compiles it all again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest
WORKERS ?= 4

.PHONY: test-python
test-python: $(VENV)/dev ## units, contracts, and the real engine over real sockets: 5 to 10 minutes (types: make check)
	$(PYTEST) -q -n $(WORKERS) --dist worksteal --ignore tests/typecheck

.PHONY: autobahn
autobahn: $(VENV)/dev ## the Autobahn suite, case by case (skipped without Python 2.7, except in CI)
	$(BIN)/python tests/autobahn/run.py

.PHONY: soak
soak: $(VENV)/dev ## the long forms of randomized tests: for a night
	FANWIRE_STRESS=10000 $(CARGO) test --quiet --lib events
	FANWIRE_CYCLES=100000 FANWIRE_CUTS=1000 FANWIRE_RENEWALS=300 FANWIRE_STORM=10000 FANWIRE_EXITS=30 \
	  FANWIRE_MODEL=2000 FANWIRE_BUSY=10 $(PYTEST) -q --timeout 3600 tests/system/test_cycles.py tests/system/test_cuts.py tests/system/test_busy_loop.py \
	  tests/system/test_renewal_load.py tests/system/test_storm.py tests/system/test_shutdown.py \
	  tests/unit/client/test_model.py

.PHONY: chaos
chaos: $(VENV)/dev ## nodes and the NATS server are killed for an hour (half a minute of it is in make test)
	FANWIRE_CHAOS=3600 $(BIN)/pytest -q -s --timeout 4200 tests/system/test_chaos.py

.PHONY: bench-presence
bench-presence: $(VENV)/dev ## 5,000 clients join one room with presence: how late the loop is
	$(BIN)/python benches/presence/run.py --most-late 50 --repeat 3
	$(BIN)/python benches/presence/run.py --most-late 50 --repeat 3 --loop asyncio

.PHONY: bench-freshness
bench-freshness: $(VENV)/dev ## the age of what slow readers read: a quarter of an hour
	$(BIN)/python benches/freshness/run.py

.PHONY: bench-cluster
bench-cluster: $(VENV)/dev ## several nodes over NATS: throughput, latency, bytes
	$(BIN)/python benches/cluster/run.py

# Nightly where there is one; stable takes the flags of sanitizers as well, if it is told to.
FUZZ := .cache/cargo-fuzz/bin/cargo-fuzz
FUZZ_RUST ?= $(if $(shell rustup run nightly rustc --version 2>/dev/null),RUSTUP_TOOLCHAIN=nightly,RUSTC_BOOTSTRAP=1)
FUZZ_TARGETS ?= frame head proxy_header decoder message outbox
# A small quarantine: what it holds would pass for growth of ours.
FUZZ_RUN = ASAN_OPTIONS=quarantine_size_mb=16 $(FUZZ_RUST) $(FUZZ) run

.PHONY: fuzz
fuzz: $(FUZZ) $(VENV)/dev ## 10 seconds of each fuzz target of the engine, then random input to whole servers
	for target in $(FUZZ_TARGETS); do \
	  $(FUZZ_RUN) $$target -- -max_total_time=10 -rss_limit_mb=512 -timeout=10 -verbosity=0 || exit 1; \
	done
	FANWIRE_FUZZ_EXAMPLES=500 $(BIN)/pytest -q --timeout 600 tests/hostile/test_fuzz_*.py

.PHONY: fuzz-long
fuzz-long: $(FUZZ) $(VENV)/dev ## a million inputs for each fuzz target, and many for servers: an hour
	for target in $(FUZZ_TARGETS); do \
	  $(FUZZ_RUN) $$target -- -runs=1000000 -rss_limit_mb=512 -timeout=10 -print_final_stats=1 || exit 1; \
	done
	FANWIRE_FUZZ_EXAMPLES=20000 $(BIN)/pytest -q --timeout 0 tests/hostile/test_fuzz_*.py

.PHONY: check
check: $(VENV)/dev ## formatting, lints, types, generated files
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --quiet --workspace --all-targets --features fanwire/nats -- -D warnings
	$(CARGO) clippy --quiet --features python -- -D warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy benches/load/run.py benches/load/goals.py benches/load/kinds.py benches/load/target.py benches/micro
	$(BIN)/mypy benches/presence/run.py
	MYPYPATH=protocol $(BIN)/mypy protocol/__main__.py
	$(BIN)/python protocol --check
	MYPYPATH=tests:benches/load $(BIN)/mypy benches/freshness/run.py
	$(BIN)/mypy tests/autobahn/run.py tests/autobahn/server.py
	MYPYPATH=python $(BIN)/stubtest fanwire._engine
	$(BIN)/pytest -q tests/typecheck

.PHONY: protocol
protocol: $(VENV)/pip ## writes what is generated from protocol/protocol.toml: tables of the docs, constants of both languages
	$(BIN)/python protocol

.PHONY: format
format: $(VENV)/dev ## formats all files as make check wants them
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(VENV)/dev ## fanwire beside its peers, table and plots in benches/results/: a quarter of an hour
	$(BIN)/python benches/load/run.py
	$(BIN)/pytest -q benches/micro --benchmark-only
	$(CARGO) bench --quiet

.PHONY: wheel
wheel: $(VENV)/dev ## a wheel for every Python from 3.10 on, in dist/
	$(BIN)/maturin build --release --out dist

.PHONY: clean
clean: ## removes all that make has made
	rm -rf $(VENV) .cache target dist fuzz/target fuzz/corpus fuzz/artifacts

# What has to be there before anything: one line for each that is missing.
.PHONY: tools
tools:
	@command -v $(CARGO) >/dev/null || { echo "fanwire: no Rust toolchain; get 1.88 or newer with rustup (Debian: apt install rustup)"; exit 1; }
	@command -v cc >/dev/null || { echo "fanwire: no C linker; get one (Debian: apt install gcc libc6-dev)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo "fanwire: no Python 3.10 or newer as '$(PYTHON)'; install one, or name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "fanwire: $(PYTHON) cannot make virtual environments (Debian: apt install python3-venv)"; exit 1; }

.PHONY: fuzz-tools
fuzz-tools: tools
	@command -v c++ >/dev/null || { echo "fanwire: no C++ compiler for libFuzzer; get one (Debian: apt install g++)"; exit 1; }
	@mkdir -p $(dir $(FUZZ))
	@echo 'fn main() {}' | $(FUZZ_RUST) rustc -Zsanitizer=address --crate-name probe -o $(dir $(FUZZ))probe - 2>/dev/null \
	  || { echo "fanwire: this Rust has no address sanitizer; get one that has (rustup toolchain install nightly)"; exit 1; }

$(FUZZ): | fuzz-tools
	$(CARGO) install --quiet --locked --root .cache/cargo-fuzz --version 0.13.2 cargo-fuzz

$(VENV)/pip: | tools
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install 'maturin>=1.9,<2'
	touch $@

# The virtual environment has what the demo needs, or what developers need; either has the engine of these sources.
$(VENV)/engine: $(RUST) | $(VENV)/pip
	. $(BIN)/activate && PIP_QUIET=1 maturin develop --quiet --release --extras demo,nats
	touch $@

$(VENV)/demo: $(VENV)/engine
	touch $@

$(VENV)/dev: $(VENV)/engine pyproject.toml
	$(PIP) install --group dev
	touch $@

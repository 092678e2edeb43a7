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
demo: $(VENV)/demo ## a server with a live page: slow readers, a cut network, three transports
	$(BIN)/fanwire demo

.PHONY: test
test: test-rust test-python test-clients ## every test, long ones in short forms: twelve minutes at most on two cores

# Properties are tried with the same values each time, so that a change is not refused for what another one has done.
# Others: make test-rust SEED=2.
SEED ?= 1

.PHONY: test-rust
test-rust: tools ## the engine's tests without Python, and its queues under loom
	PROPTEST_RNG_SEED=$(SEED) $(CARGO) test --quiet --features nats
	RUSTFLAGS="--cfg loom" $(CARGO) test --quiet --profile loom --lib --target-dir target/loom -- every_interleaving

# Units compute, and have most of the tests, which every worker collects for itself. The others wait more than they
# compute: eight at once keep two cores busy. Python may keep what it has compiled, whatever the environment says:
# otherwise every process that a test starts compiles it all again.
COMPILED := PYTHONDONTWRITEBYTECODE=
PYTEST := $(COMPILED) $(BIN)/pytest
WORKERS ?= 8

.PHONY: test-python
test-python: $(VENV)/dev ## units, contracts, and the real engine over real sockets: 6 minutes (types: make check)
	$(PYTEST) -q -n 2 --dist worksteal tests/unit
	$(PYTEST) -q -n $(WORKERS) --dist worksteal --ignore tests/unit --ignore tests/typecheck --ignore tests/browser

# Beside each other: browsers, Node.js and the Autobahn suite wait for answers and timers most of the time. Each one's
# output comes in one piece, where make can do that.
.PHONY: test-clients
test-clients: $(VENV)/dev typescript ## test-browser, test-typescript and test-autobahn, at the same time
	$(MAKE) --no-print-directory -j 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
	  test-browser test-typescript test-autobahn

# A part of test-python. Each example is tested in its own folder, as for somebody who has copied it.
.PHONY: test-examples
test-examples: $(VENV)/dev ## the applications in examples/
	$(PYTEST) -q -n 2 tests/system/test_examples.py

# A worker for each browser: one process of it serves all tests. Skipped without the browsers, except in CI.
.PHONY: test-browser
test-browser: $(VENV)/dev typescript ## the client in Chromium and Firefox, through proxies and faults: two minutes
	$(PYTEST) -q -rs -n 2 --dist loadscope tests/browser

# Node.js is for the TypeScript client alone. What is built for browsers is committed, so that a server needs none.
NODE_IS_OLD = process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)
HAS_NODE = command -v npm >/dev/null && node -e '$(NODE_IS_OLD)' 2>/dev/null
NO_NODE = echo "fanwire: no Node.js 20 or newer with npm; $@ is skipped"; test -z "$$FANWIRE_CI"
TYPESCRIPT := $(wildcard typescript/src/*.ts typescript/src/*/*.ts typescript/*.json typescript/build.mjs)

.PHONY: typescript
typescript: ## builds the npm package, and the file of it that a server serves
	@if $(HAS_NODE); then $(MAKE) --no-print-directory typescript/dist/index.js; else $(NO_NODE); fi

typescript/node_modules: typescript/package.json typescript/package-lock.json
	cd typescript && npm ci --silent --no-audit --no-fund
	touch $@

typescript/dist/index.js: typescript/node_modules $(TYPESCRIPT)
	cd typescript && npm run --silent build

.PHONY: test-typescript
test-typescript: $(VENV)/dev ## the TypeScript client in Node
	@if $(HAS_NODE); then $(MAKE) --no-print-directory typescript/node_modules && cd typescript && $(COMPILED) npm test --silent; \
	  else $(NO_NODE); fi

.PHONY: check-typescript
check-typescript: ## types of the TypeScript client, its size, and whether fanwire.js is built of it
	@if $(HAS_NODE); then $(MAKE) --no-print-directory typescript/node_modules && cd typescript && npm run --silent check; \
	  else $(NO_NODE); fi

# Compressed messages are nearly all of the work of the Autobahn suite, and most of that is the suite's own.
.PHONY: test-autobahn
test-autobahn: $(VENV)/dev ## 337 of the 517 cases of the Autobahn suite (skipped without Python 2.7, except in CI): two minutes
	$(COMPILED) $(BIN)/python tests/autobahn/run.py --sixth

.PHONY: autobahn
autobahn: $(VENV)/dev ## the whole Autobahn suite, case by case (skipped without Python 2.7, except in CI): 8 minutes
	$(COMPILED) $(BIN)/python tests/autobahn/run.py

.PHONY: soak
soak: $(VENV)/dev ## the long forms of randomized tests: for a night
	FANWIRE_STRESS=10000 $(CARGO) test --quiet --lib events
	FANWIRE_CYCLES=100000 FANWIRE_CUTS=1000 FANWIRE_RENEWALS=300 FANWIRE_STORM=10000 FANWIRE_EXITS=30 \
	  FANWIRE_MODEL=2000 FANWIRE_BUSY=10 $(PYTEST) -q --timeout 3600 tests/system/test_cycles.py tests/system/test_cuts.py tests/system/test_busy_loop.py \
	  tests/system/test_renewal_load.py tests/system/test_storm.py tests/system/test_shutdown.py \
	  tests/unit/client/test_model.py
	FANWIRE_CUTS=100 FANWIRE_SLEEP=120 FANWIRE_BACKGROUND=600 \
	  $(PYTEST) -q -s -n 2 --dist loadscope --timeout 3600 tests/browser/test_cuts.py tests/browser/test_life.py

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

.PHONY: bench-dashboard
bench-dashboard: $(VENV)/dev ## the dashboard in Chromium with 9,000 connections: frames, long tasks, how late the loop is
	$(BIN)/python benches/dashboard/cost.py
	$(BIN)/python benches/dashboard/run.py

.PHONY: bench-cluster
bench-cluster: $(VENV)/dev ## several nodes over NATS: throughput, latency, bytes
	$(BIN)/python benches/cluster/run.py

# Nightly where there is one; stable takes the flags of sanitizers as well, if it is told to.
FUZZ := .cache/cargo-fuzz/bin/cargo-fuzz
FUZZ_RUST ?= $(if $(shell rustup run nightly rustc --version 2>/dev/null),RUSTUP_TOOLCHAIN=nightly,RUSTC_BOOTSTRAP=1)
FUZZ_TARGETS ?= $(shell sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
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
check: $(VENV)/dev check-typescript ## formatting, lints, types, generated files
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --quiet --workspace --all-targets --features fanwire/nats -- -D warnings
	$(CARGO) clippy --quiet --features python -- -D warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy benches/load/run.py benches/load/goals.py benches/load/forms.py benches/load/kinds.py benches/load/transports.py benches/load/target.py benches/micro
	$(BIN)/mypy benches/presence/run.py
	$(BIN)/mypy benches/rates/run.py
	$(BIN)/mypy benches/metrics/scrape.py
	$(BIN)/mypy benches/tick/run.py
	$(BIN)/mypy benches/deltas/run.py
	MYPYPATH=benches/load $(BIN)/mypy benches/tls/handshakes.py
	MYPYPATH=protocol $(BIN)/mypy protocol/__main__.py
	$(BIN)/python protocol --check
	MYPYPATH=packaging $(BIN)/mypy packaging/release.py packaging/try_wheels.py packaging/audit.py packaging/licenses.py packaging/smoke.py
	$(BIN)/python packaging/audit.py --local
	MYPYPATH=tests:benches/load $(BIN)/mypy benches/freshness/run.py
	MYPYPATH=tests $(BIN)/mypy benches/dashboard/run.py
	MYPYPATH=benches/dashboard $(BIN)/mypy benches/dashboard/swarm.py benches/dashboard/cost.py
	$(BIN)/mypy tests/autobahn/run.py tests/autobahn/server.py
	for example in fastapi_chat prices game orderbook arena; do \
	  MYPYPATH=python:examples/$$example $(BIN)/mypy examples/$$example/*.py || exit 1; \
	done
	MYPYPATH=python $(BIN)/stubtest fanwire._engine
	$(BIN)/pytest -q tests/typecheck
	$(MAKE) --no-print-directory docs

# The reference of the TypeScript client needs Node.js. Without it the site has no such pages, and links to them are
# warnings.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
DOCS_STRICT = $(if $(FANWIRE_CI),--strict,$(shell $(HAS_NODE) && echo --strict))

.PHONY: docs
docs: $(VENV)/dev docs-typescript ## the site of the documentation, in .cache/site; warnings are errors
	$(MKDOCS) build --quiet $(DOCS_STRICT)

.PHONY: docs-serve
docs-serve: $(VENV)/dev docs-typescript ## shows the site at http://127.0.0.1:8001, and follows changes
	$(MKDOCS) serve --dev-addr 127.0.0.1:8001

.PHONY: docs-typescript
docs-typescript:
	@if $(HAS_NODE); then $(MAKE) --no-print-directory typescript/node_modules typescript/typedoc/node_modules \
	  && cd typescript/typedoc && npx --no-install typedoc --logLevel Error; else $(NO_NODE); fi

typescript/typedoc/node_modules: typescript/typedoc/package.json typescript/typedoc/package-lock.json
	cd typescript/typedoc && npm ci --silent --no-audit --no-fund
	touch $@

.PHONY: vectors
vectors: $(VENV)/dev ## writes tests/vectors, the scripts for the client's machine in all languages, from its unit tests
	cd tests && $(abspath $(BIN))/python -m helpers.vectors

.PHONY: protocol
protocol: $(VENV)/pip ## writes what is generated from protocol/protocol.toml: tables of the docs, constants of all languages
	$(BIN)/python protocol

.PHONY: configuration
configuration: $(VENV)/dev ## writes the tables of docs/configuration.md, from the docstrings of the settings
	$(BIN)/python tests/helpers/settings_page.py --write

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

TRANSPORTS := text-64,text-64-sse,json-64,json-64-sse,text-1,text-1-sse,json-1,json-1-sse,bytes-64,bytes-64-sse
PACED := json-10-hz,json-10-hz-sse,json-10-hz-poll

.PHONY: bench-forms
bench-forms: $(VENV)/dev ## TLS, compression and batches beside plain twins and peers: half an hour
	$(BIN)/pip install --quiet socketify || echo "fanwire: socketify cannot be installed: no uWebSockets"
	$(BIN)/python benches/load/run.py --scenarios forms --seconds 3 --repeat 3 --out .cache/bench-forms
	$(BIN)/python benches/load/forms.py .cache/bench-forms/results.json

.PHONY: bench-deltas
bench-deltas: $(VENV)/dev ## bytes and CPU of deltas, compression and batches for quotes: six minutes
	$(BIN)/python benches/deltas/run.py

.PHONY: bench-metrics
bench-metrics: $(VENV)/dev ## what a scrape takes with 10,000 connections and rooms, and how late it makes the loop
	$(BIN)/python benches/metrics/scrape.py

.PHONY: bench-tick
bench-tick: $(VENV)/dev ## a room with a tick beside publishing by hand, and how steady its edges are: two minutes
	$(BIN)/python benches/tick/run.py

.PHONY: bench-tls
bench-tls: $(VENV)/dev ## handshakes of TLS beside OpenSSL's own server: five minutes
	$(BIN)/python benches/tls/handshakes.py --out .cache/bench-tls/handshakes.json

.PHONY: bench-transports
bench-transports: $(VENV)/dev ## one load over WebSocket, event streams and long-polling: about ten minutes
	$(BIN)/python benches/load/run.py --servers fanwire --scenarios $(TRANSPORTS),$(PACED) --seconds 6 --repeat 4 \
	  --out .cache/bench-transports
	$(BIN)/python benches/load/transports.py .cache/bench-transports/results.json

.PHONY: wheel
wheel: $(VENV)/dev ## a wheel of this machine for every Python from 3.10 on, in dist/
	$(BIN)/maturin build --release --locked --out dist

# docs/releasing.md has the steps around these.
.PHONY: release
release: $(VENV)/release ## what a release consists of, checked, in dist/: wheels, sdist, npm package, SBOMs, sums: half an hour
	rm -rf dist
	$(BIN)/python packaging/release.py

.PHONY: test-wheels
test-wheels: $(VENV)/release ## each wheel of this machine, and its tests, in a clean environment of each Python at hand; the sdist offline
	$(BIN)/python packaging/try_wheels.py --tests --sdist

.PHONY: audit
audit: $(VENV)/release ## known vulnerabilities, licences and sources of all that Fanwire depends on
	$(BIN)/python packaging/audit.py

LOCK := ops/docker/requirements.txt

.PHONY: lock
lock: $(VENV)/release ## writes the lock file of the container's packages anew; Cargo.lock: cargo update
	head -n 1 $(LOCK) > $(LOCK).new
	$(BIN)/uv --quiet pip compile --python-version 3.13 --python-platform linux --generate-hashes --no-header --no-annotate --upgrade --extra logs pyproject.toml >> $(LOCK).new
	mv $(LOCK).new $(LOCK)

.PHONY: licenses
licenses: $(VENV)/pip ## writes THIRD_PARTY_LICENSES.md from Cargo.lock
	$(BIN)/python packaging/licenses.py

.PHONY: clean
clean: ## removes all that make has made
	rm -rf $(VENV) .cache target dist fuzz/target fuzz/corpus fuzz/artifacts typescript/node_modules typescript/dist typescript/build \
	  typescript/typedoc/node_modules

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
	. $(BIN)/activate && PIP_QUIET=1 maturin develop --quiet --release --extras demo,nats,top
	touch $@

$(VENV)/demo: $(VENV)/engine
	touch $@

$(VENV)/dev: $(VENV)/engine pyproject.toml
	$(PIP) install --group dev
	touch $@

$(VENV)/release: $(VENV)/dev pyproject.toml
	$(PIP) install --group release
	touch $@

# `make run` and `make test` are all that most people need.

export CARGO_INCREMENTAL ?= $(if $(CI),0,1)
DEBUG := $(CURDIR)/target/debug
RELEASE := $(CURDIR)/target/release
TOOLS := $(CURDIR)/target/tools/bin
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/screenshots/*')

.PHONY: build run image test check format generate mutants fuzz soak chaos bench siege

# The page, the hub and the agent, for use.
build: web/app/dist/index.html
	cargo build --release --locked -p mayfly -p mayfly-agent

# Builds, and serves on http://127.0.0.1:8080. ARGS="--listen 127.0.0.1:9000" passes flags on.
run: build
	$(RELEASE)/mayfly serve $(ARGS)

# Images of the agent and of the hub, in the container engine that `docker` speaks to: static binaries and nothing else.
# glibc is linked in, so that names are resolved without a file of the system's.
HOST := $(shell rustc -vV | sed -n 's/host: //p')
image: web/app/dist/index.html
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target $(HOST) -p mayfly -p mayfly-agent
	deploy/image mayfly-agent 'ENTRYPOINT ["/mayfly-agent"]' 'WORKDIR /run/mayfly' -- target/$(HOST)/release/mayfly-agent
	deploy/image mayfly 'ENTRYPOINT ["/mayfly"]' 'CMD ["serve"]' -- target/$(HOST)/release/mayfly

# Installs what the tests need, and runs them all.
test: web/app/dist/index.html
	@tests/install chromium bubblewrap docker nextest websocat sdks schemathesis autobahn
	cargo build --locked --workspace --bins
	WEBSOCAT=$(TOOLS)/websocat SDK_PYTHON=$(TOOLS)/python SCHEMATHESIS=$(TOOLS)/schemathesis tests/engine cargo nextest run --locked --workspace
	@[ ! -x target/tools/wstest ] || WSTEST=target/tools/wstest $(DEBUG)/autobahn
	cd web && npm test
	cd web && MAYFLY_BIN=$(DEBUG)/mayfly npm run e2e

# Format, lints, types, dependency policy.
check: web/node_modules/.package-lock.json
	@tests/install deny
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --config .deny.toml check bans licenses sources
	cd web && npm run check

# Puts everything into the project's format.
format: web/node_modules/.package-lock.json
	cargo fmt --all
	cd web && npm run format

# The TypeScript of the wire.
generate:
	cargo run -q -p mayfly-protocol --example typescript > web/client/src/protocol.ts

# Does a test notice when a rule of the core is broken? Each deliberate mutation must be caught. ONLY="part of a name".
mutants:
	cargo run -q --locked -p mayfly-tests --bin mutants -- "$(ONLY)"

# Looks for input that breaks a rule of tests/src/fuzz.rs: FUZZ_SECONDS for each. What is new goes into tests/corpus.
# The flags are those of cargo-fuzz, without the sanitizer: there is no unsafe code to look into.
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
fuzz:
	cp Cargo.lock tests/fuzz
	cd tests/fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --release \
		--target-dir $(CURDIR)/target/fuzz --target $(shell rustc -vV | sed -n 's/host: //p')
	for rule in client sse chunk; do mkdir -p target/fuzz/found/$$rule && FUZZ_RULE=$$rule \
		target/fuzz/*/release/mayfly-fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -print_final_stats=1 \
		-dict=tests/fuzz/words -artifact_prefix=target/fuzz/broken- target/fuzz/found/$$rule tests/corpus/$$rule || exit; done

# The hub against its baselines, in one run: minutes, on an idle machine.
bench:
	cargo build --release --locked --workspace --bins
	$(RELEASE)/bench $(ARGS)

# Fifty hubs with containers are killed in the midst of things: `make test` tries a few.
chaos:
	@tests/install docker
	cargo build --locked --workspace --bins
	CHAOS_KILLS=50 tests/engine cargo test --locked -p mayfly-tests --test e2e chaos

# What strangers do to the hub, and how much of it others notice: minutes, on an idle machine.
siege:
	cargo build --release --locked --workspace --bins
	$(RELEASE)/bench siege $(ARGS)

# The long versions of what `make test` does with less: a million histories, and ten thousand seeds for each race.
soak:
	PROPTEST_CASES=1000000 cargo test --release --locked -p mayfly-session --test core every_history
	RACE_SEEDS=10000 cargo test --release --locked -p mayfly --test shell races

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci
	@touch $@

web/app/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run build
	@touch $@

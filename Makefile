# `make run` and `make test` are all that most people need.

export CARGO_INCREMENTAL ?= $(if $(CI),0,1)
RELEASE := $(CURDIR)/target/release
QUICK := $(CURDIR)/target/quick
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/screenshots/*')

.PHONY: build run quick image test check format generate mutants fuzz soak chaos bench siege

# Binaries contain no paths of the machine that built them: neither in panic messages nor elsewhere.
CARGO_HOME ?= $(HOME)/.cargo
REMAP := --remap-path-prefix=$(CURDIR)=mayfly --remap-path-prefix=$(CARGO_HOME)=cargo
PROGRAMS := -p mayfly -p mayfly-agent

# Builds page, hub and agent for production, in target/release.
build: web/app/dist/index.html
	RUSTFLAGS="$(REMAP)" cargo build --release --locked $(PROGRAMS)
	tests/binaries $(RELEASE)/mayfly $(RELEASE)/mayfly-agent

# Builds page and hub, with the agent inside, in less time, in target/quick, and serves on http://127.0.0.1:8080.
# ARGS="--listen 9000" passes flags on.
run: quick
	$(QUICK)/mayfly serve $(ARGS)

quick: web/app/dist/index.html
	RUSTFLAGS="$(REMAP)" cargo build --profile quick --locked -p mayfly
	@tests/binaries $(QUICK)/mayfly

# Makes images of agent and hub in the container engine that `docker` speaks to. They contain one static program each.
# glibc is linked in, so that the resolver needs no file of the system.
HOST := $(shell rustc -vV | sed -n 's/host: //p')
image: web/app/dist/index.html
	RUSTFLAGS="$(REMAP) -C target-feature=+crt-static" cargo build --release --locked --target $(HOST) $(PROGRAMS)
	tests/binaries target/$(HOST)/release/mayfly target/$(HOST)/release/mayfly-agent
	deploy/image mayfly-agent 'ENTRYPOINT ["/mayfly-agent"]' 'WORKDIR /run/mayfly' -- target/$(HOST)/release/mayfly-agent
	deploy/image mayfly 'ENTRYPOINT ["/mayfly"]' 'CMD ["serve"]' -- target/$(HOST)/release/mayfly

# Prints and installs the tools that the tests need, runs all suites, and reports their times.
test: web/app/dist/index.html
	@tests/run

# Format, lints, types, import directions, dependency policy.
check: web/node_modules/.package-lock.json
	@tests/install deny
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo run -q --locked -p mayfly-imports
	cargo deny --config .deny.toml check bans licenses sources
	cd web && npm run check

# Formats all code.
format: web/node_modules/.package-lock.json
	cargo fmt --all
	cd web && npm run format

# Generates the TypeScript types of the wire.
generate:
	cargo run -q -p mayfly-protocol --example typescript > web/client/src/protocol.ts
	cargo run -q -p mayfly -- config --markdown > docs/configuration.md

# Checks that the core's tests catch each deliberate mutation. ONLY="part of a name" selects some.
mutants:
	cargo run -q --locked -p mayfly-tests --bin mutants -- "$(ONLY)"

# Searches for input that breaks a rule of tests/src/fuzz.rs, FUZZ_SECONDS for each rule, starting from tests/corpus.
# The flags are those of cargo-fuzz without the sanitizer, because the project has no unsafe code.
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

# Compares the hub with its baselines, after the tests of the benchmarks. Takes minutes, on an idle machine.
bench:
	cargo build --release --locked --workspace --bins
	cargo test --release --locked -p mayfly-bench
	$(RELEASE)/bench $(ARGS)

# Kills fifty hubs with containers while they work. `make test` kills a few.
chaos:
	@tests/install docker
	cargo build --locked --bins --tests
	CHAOS_KILLS=50 tests/engine cargo test --locked -p mayfly-tests --test e2e chaos

# Attacks the hub and measures the effect on its other clients. Takes minutes, on an idle machine.
siege:
	cargo build --release --locked --workspace --bins
	$(RELEASE)/bench siege $(ARGS)

# Runs the long versions of random tests: a million histories, and ten thousand seeds for each race.
soak:
	PROPTEST_CASES=1000000 cargo test --release --locked -p mayfly-session --test core every_history
	RACE_SEEDS=10000 cargo test --release --locked -p mayfly --test shell races

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci
	@touch $@

web/app/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run build
	@touch $@

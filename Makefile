# Zonemesh: what a person types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO ?= cargo
# Users that are not root have no sbin in their path on Debian; the lab needs ip, nft and tc.
export PATH := $(PATH):/usr/sbin:/sbin

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
STAGE := .ci/stage
SCRIPTS = $(shell git ls-files '*.sh') .ci/run .ci/stage

# What gateways and appliances run, and the lab.
PROGRAMS := zonemeshd zonemesh zonemesh-gateway zonemesh-superlink zonemesh-supernode zonemesh-lab
PACKAGES := $(PROGRAMS:%=--package %)
RELEASE = $(CARGO) build --release $(PACKAGES)

# Everything else is asked for with --workspace: cargo unifies features over what it is to build, and
# a smaller selection would build the same dependencies again.
SUITES := --workspace --test lab --test scenarios --test wireguard --test systemd
ENTER := $(TARGET)/debug/zonemesh-lab enter --
SYSTEMD = $(CARGO) nextest run --workspace --test systemd --profile systemd
WIREGUARD = $(ENTER) $(CARGO) nextest run --workspace --test wireguard --profile wireguard

GENERATE = $(CARGO) run --quiet --manifest-path crates/api/generate/Cargo.toml \
  --target-dir $(TARGET)/generate --
# --examples, of which there are none, brings the tests' dependencies into the same unification.
DOC = $(CARGO) doc --workspace --no-deps --lib --bins --examples

.PHONY: bench-status
.PHONY: help setup build demo check lint test test-build test-unit test-scenarios test-wireguard scenario
.PHONY: package test-package test-systemd
.PHONY: interop interop-kernel flood soak blackout partition properties properties-trust mutations
.PHONY: fuzz fuzz-smoke generate release-tools bench bench-quick bench-versions bench-mesh bench-registry clean-lab

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## Install what the demo and the tests need, if it is missing.
	@netns-tests/setup.sh

build: ## Build the release binaries.
	$(RELEASE) --package zonemesh-tunnel --bins

package: ## The Debian packages of the gateway and the companions, in target/package/release.
	@netns-tests/setup.sh package
	$(RELEASE)
	@configs/debian/build.sh $(TARGET)/release $(TARGET)/package/release

demo: ## Three zones, one federation, on this machine; KEEP=1 leaves the zones up.
	@netns-tests/setup.sh tools flower
	@printf 'demo: building %s\n' '$(PROGRAMS)'
	$(CARGO) build --profile demo $(PACKAGES) --bins
	@$(TARGET)/demo/zonemesh-demo $(if $(KEEP),--keep)

check: ## What to run after each change: format, clippy, unit tests. Needs no root.
	@netns-tests/setup.sh runner
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) nextest run --workspace

lint: ## Format, clippy, documentation, layering, scripts.
	@$(STAGE) format $(MAKE) --no-print-directory lint-format
	@$(STAGE) 'generated code' $(GENERATE) --check
	@$(STAGE) clippy $(MAKE) --no-print-directory lint-clippy
	@$(STAGE) documentation env RUSTDOCFLAGS="-D warnings" $(DOC) --quiet
	@$(STAGE) layering $(CARGO) test --quiet --workspace --test layering

.PHONY: lint-format lint-clippy
lint-format:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fmt --manifest-path crates/api/generate/Cargo.toml --check
	for script in $(SCRIPTS); do bash -n "$$script"; done
	for script in configs/debian/*/*; do sh -n "$$script"; done
	for rule in crates/core/tests/membership/mutations/*.patch; do git apply --check "$$rule"; done

lint-clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(SUITES) --test kernel -- -D warnings

test: test-unit test-scenarios test-wireguard test-package ## Unit tests, then the suites over the real binaries.

test-build: setup
	@$(STAGE) 'test build' $(CARGO) build --workspace --bins --tests
	@$(STAGE) 'suites build' $(CARGO) build $(SUITES)
	@$(STAGE) 'release 0.2.0' netns-tests/older.sh $(TARGET) 0.2.0

test-unit: test-build ## Everything that needs no root.
	@$(STAGE) 'unit tests' $(CARGO) nextest run --workspace

test-scenarios: test-build ## The lab's own tests, and the scenarios over the real binaries.
	@$(STAGE) scenarios $(ENTER) $(CARGO) nextest run --workspace --test lab --test scenarios \
	  --profile scenarios -E "$$(netns-tests/left_out.sh scenarios)"

scenario: test-build ## One scenario, or those whose names hold FILTER.
	$(ENTER) $(CARGO) nextest run --workspace --test scenarios --profile scenarios $(FILTER)

.PHONY: test-older
test-older: test-build ## From release 0.1.0 to this one: a mesh, and a federation that has worked.
	@netns-tests/older.sh $(TARGET) 0.1.0
	$(ENTER) $(CARGO) nextest run --workspace --test scenarios --profile scenarios \
	  -E 'test(/^operations::upgrade/)'

test-wireguard: test-build ## WireGuard's behaviours over the real binary, beside wireguard-go.
	@$(STAGE) wireguard $(WIREGUARD) -E "$$(netns-tests/left_out.sh wireguard)"

# What was built for the tests will do: the packages are about users, folders and units.
test-package: test-build ## The packages on a real systemd: Debian 12 in a container.
	@netns-tests/setup.sh package systemd flower images
	@$(STAGE) packages configs/debian/build.sh $(TARGET)/debug $(TARGET)/package/debug
	@$(STAGE) systemd env ZONEMESH_PACKAGES=$(TARGET)/package/debug $(SYSTEMD) \
	  -E "$$(netns-tests/left_out.sh systemd)"

test-systemd: test-build package ## The same on Debian 12, 13 and sid, and 50 times kill -9.
	@netns-tests/setup.sh systemd flower
	@netns-tests/rootfs.sh bookworm trixie sid
	ZONEMESH_PACKAGES=$(TARGET)/package/release ZONEMESH_RELEASES="bookworm trixie sid" ZONEMESH_KILLS=50 \
	  $(SYSTEMD) --no-capture

.PHONY: test-appliances
test-appliances: test-build ## Whole lives of the images' VMs, in every order (LATE=seconds, FILTER=).
	@netns-tests/setup.sh package systemd flowers images
	configs/debian/build.sh $(TARGET)/debug $(TARGET)/package/debug
	ZONEMESH_PACKAGES=$(TARGET)/package/debug ZONEMESH_LATE_S=$(or $(LATE),600) \
	  $(CARGO) nextest run --workspace --test systemd --profile appliances \
	  -E 'test(/^(lives|one_apps)::.*$(FILTER)/)'

interop: test-build ## The interop matrix with every peer, those that have to be built first too.
	@netns-tests/bench/setup.sh
	$(WIREGUARD) --no-capture interop::

interop-kernel: test-build ## Interop with the kernel's WireGuard, in a virtual machine that this boots.
	@netns-tests/setup.sh kernel
	$(ENTER) $(CARGO) nextest run --workspace --test kernel --profile kernel --no-capture

flood: test-build release-tools ## 10 000 spoofed handshakes, 60 000 garbage a second: figures, stalls.
	ZONEMESH_BIN_DIR=$(TARGET)/release ZONEMESH_GARBAGE_S=60 $(WIREGUARD) --no-capture \
	  flood_of cookies_are_for one_source_cannot garbage

.PHONY: meddle
meddle: test-build ## Random changes of a gateway's kernel state under traffic, 100 sequences (SEEDS=n).
	ZONEMESH_MEDDLE_SEEDS=$(or $(SEEDS),100) $(ENTER) \
	  $(CARGO) test --workspace --test scenarios -- --nocapture sequences_of_random

.PHONY: faults
faults: test-build ## Every fault of the catalogue, and an hour of silence (MINUTES=n FAULTS="name;name").
	ZONEMESH_QUIET_MINUTES=$(or $(MINUTES),60) ZONEMESH_FAULTS="$(or $(FAULTS),all)" $(ENTER) \
	  $(CARGO) test --workspace --test scenarios -- --nocapture faults_are_told

soak: release-tools ## 30 minutes of loss, jitter, cuts and forced handshakes (MINUTES=n).
	$(TARGET)/release/zonemesh-reliability soak --minutes $(or $(MINUTES),30)

blackout: release-tools ## 10 minutes without a path, keepalives only (MINUTES=n).
	$(TARGET)/release/zonemesh-reliability blackout --minutes $(or $(MINUTES),10)

partition: test-build ## A partition of 10 minutes with changes on both sides (MINUTES=n).
	ZONEMESH_PARTITION_S=$$(( 60 * $(or $(MINUTES),10) )) $(ENTER) \
	  $(CARGO) test --workspace --test scenarios -- --nocapture changes_on_both_sides

fuzz: ## Every parser under fuzz for 5 minutes (SECONDS=n, TARGETS="name ...").
	@netns-tests/setup.sh fuzzer
	@fuzz/run.sh $(or $(SECONDS),300) $(TARGETS)

fuzz-smoke: ## Every parser under fuzz for 3 seconds, after building all targets (5 minutes).
	@netns-tests/setup.sh fuzzer
	@fuzz/run.sh 3

properties: properties-trust ## The property tests on 20 000 inputs and histories (CASES=n HISTORIES=n).
	PROPTEST_CASES=$(or $(CASES),20000) $(CARGO) test --package zonemesh-tunnel --lib

properties-trust: ## Of these the attacker against the rules of trust.
	ZONEMESH_HISTORIES=$(or $(HISTORIES),20000) $(CARGO) test --profile demo -p zonemesh-core \
	  --test membership attacker -- --nocapture

mutations: ## The old rules of trust brought back, each to be found by the attacker (SEED=n NAMES="...").
	@SEED=$(or $(SEED),1) crates/core/tests/mutations.sh $(TARGET) $(NAMES)

generate: ## Write the Rust of the protobuf files again, after a change below crates/api/proto.
	$(GENERATE)

release-tools:
	@netns-tests/setup.sh tools
	$(RELEASE) --package zonemesh-tunnel --package netns-tests --bins

bench-mesh: release-tools ## A managed mesh of three zones: updates, starts, idle streams, healing, memory (5 minutes).
	@$(TARGET)/release/zonemesh-bench-mesh

bench-status: ## What a look at a gateway of 100 and of 1000 peers costs it (ZONEMESH_BIN_DIR=, ARGS=).
	$(if $(ZONEMESH_BIN_DIR),,$(CARGO) build --release --quiet --package zonemeshd --package zonemesh)
	@netns-tests/bench/status.py $(ARGS)

bench-registry: ## The registry at 3, 100 and 1000 simulated zones, in virtual time (SIZES="3 100" SEED=n).
	SEED=$(or $(SEED),42) $(CARGO) bench --quiet --package zonemesh-core --bench registry_sim -- $(SIZES)

BENCH = netns-tests/bench/setup.sh && \
  $(CARGO) build --release --quiet --package zonemesh-tunnel --bin zonemesh-wg && \
  netns-tests/bench/bench.py

bench: ## The data plane beside its peers, every mode (an hour); ARGS="--rounds 3" and more.
	@$(BENCH) full $(ARGS)

bench-quick: ## The main figures of `make bench` in less than 3 minutes.
	@$(BENCH) quick $(ARGS)

bench-versions: ## This tree's data plane beside an older zonemesh-wg, 9 rounds (OLD=program).
	@netns-tests/bench/setup.sh packages
	$(CARGO) build --release --quiet --package zonemesh-tunnel --bin zonemesh-wg
	@netns-tests/bench/bench.py versions $(OLD) $(ARGS)

clean-lab: ## Remove what killed or kept labs left behind.
	@lab=$$(ls $(TARGET)/{release,debug}/zonemesh-lab 2>/dev/null | head -n 1 || true); \
	  $${lab:-$(CARGO) run --package zonemesh-lab --bin zonemesh-lab --} clean

# Zonemesh: what a person types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
SCENARIOS = --package zonemesh-lab --package netns-tests --test lab --test scenarios
# Users that are not root have no sbin in their path on Debian; the lab needs ip, nft and tc.
export PATH := $(PATH):/usr/sbin:/sbin

LAB := $(CARGO) run --quiet --package zonemesh-lab --bin
INSTRUMENT := $(CARGO) run --quiet --package netns-tests --bin
SCRIPTS = $(shell git ls-files '*.sh') .ci/run

WIREGUARD = ZONEMESH_BIN_DIR=$(CURDIR)/target/release $(LAB) zonemesh-lab -- enter -- \
  $(CARGO) nextest run --package netns-tests --test wireguard --profile wireguard
RELIABILITY = ZONEMESH_BIN_DIR=$(CURDIR)/target/release $(INSTRUMENT) zonemesh-reliability --release --

# Only root can be another user for a moment; without it nextest counts those scenarios as skipped.
ONE_USER = $(if $(filter 0,$(shell id -u)),,-E 'not test(/^security::users::/)')

.PHONY: help setup build demo test lint bench-mesh clean-lab
.PHONY: bench-registry partition test-wireguard interop interop-kernel flood soak blackout properties fuzz
.PHONY: fuzz-smoke release-tools bench bench-quick bench-versions

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## Install what the demo and the tests need, if it is missing.
	@netns-tests/setup.sh

build: ## Build the release binaries.
	$(CARGO) build --release --workspace --bins

demo: ## Three zones, one federation, on this machine; KEEP=1 leaves the zones up.
	@netns-tests/setup.sh tools flower
	@$(MAKE) --no-print-directory build
	@$(LAB) zonemesh-demo --release -- $(if $(KEEP),--keep)

test: setup ## Unit tests, then the scenarios over the real binaries.
	$(CARGO) build --workspace --bins
	$(CARGO) nextest run --workspace
	$(CARGO) nextest run $(SCENARIOS) --no-run
	$(LAB) zonemesh-lab -- enter -- $(CARGO) nextest run $(SCENARIOS) --profile scenarios $(ONE_USER)
	@$(MAKE) --no-print-directory test-wireguard
	@$(MAKE) --no-print-directory fuzz-smoke

test-wireguard: ## WireGuard's behaviours over the real binary, beside wireguard-go.
	@netns-tests/setup.sh tools runner
	$(CARGO) build --release --package zonemesh-tunnel --bin zonemesh-wg
	$(WIREGUARD)

interop: ## The interop matrix with every peer, those that have to be built first too.
	@netns-tests/setup.sh tools runner
	@netns-tests/bench/setup.sh
	$(CARGO) build --release --package zonemesh-tunnel --bin zonemesh-wg
	ZONEMESH_ALL_PEERS=1 $(WIREGUARD) --no-capture interop::

interop-kernel: ## Interop with the kernel's WireGuard, in a virtual machine that this boots.
	@netns-tests/setup.sh tools runner kernel
	$(CARGO) build --release --package zonemesh-tunnel --bin zonemesh-wg --package zonemeshd --bin zonemeshd
	ZONEMESH_BIN_DIR=$(CURDIR)/target/release $(LAB) zonemesh-lab -- enter -- \
	  $(CARGO) nextest run --package netns-tests --test kernel --profile kernel --no-capture

flood: ## 10 000 spoofed handshakes a second: figures of both implementations.
	@netns-tests/setup.sh tools runner
	$(CARGO) build --release --package zonemesh-tunnel --bin zonemesh-wg
	$(WIREGUARD) --no-capture flood_of cookies_are_for one_source_cannot

soak: release-tools ## 30 minutes of loss, jitter, cuts and forced handshakes (MINUTES=n).
	$(RELIABILITY) soak --minutes $(or $(MINUTES),30)

blackout: release-tools ## 10 minutes without a path, keepalives only (MINUTES=n).
	$(RELIABILITY) blackout --minutes $(or $(MINUTES),10)

partition: setup ## A partition of 10 minutes with changes on both sides (MINUTES=n).
	$(CARGO) build --workspace --bins
	ZONEMESH_PARTITION_S=$$(( 60 * $(or $(MINUTES),10) )) $(LAB) zonemesh-lab -- enter -- \
	  $(CARGO) test --package netns-tests --test scenarios -- --nocapture changes_on_both_sides

fuzz: ## Every parser under fuzz for 5 minutes (SECONDS=n, TARGETS="name ...").
	@netns-tests/setup.sh fuzzer
	@fuzz/run.sh $(or $(SECONDS),300) $(TARGETS)

fuzz-smoke: ## Every parser under fuzz for 3 seconds; part of `make test`.
	@netns-tests/setup.sh fuzzer
	@fuzz/run.sh 3

properties: ## The data plane's property tests on 20 000 inputs each (CASES=n).
	PROPTEST_CASES=$(or $(CASES),20000) $(CARGO) test --package zonemesh-tunnel --lib

release-tools:
	@netns-tests/setup.sh tools
	$(CARGO) build --release --package zonemesh-tunnel --bin zonemesh-wg
	$(CARGO) build --release --package zonemesh-lab --package netns-tests --bin zonemesh-lab --bin zonemesh-reliability

lint: ## Format, clippy, documentation, layering, scripts.
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(SCENARIOS) --test wireguard --test kernel -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) test --quiet --package netns-tests --test layering
	for script in $(SCRIPTS); do bash -n "$$script"; done

bench-mesh: ## A managed mesh of three zones: updates, starts, idle streams, healing, memory (5 minutes).
	@netns-tests/setup.sh tools
	@$(MAKE) --no-print-directory build
	@$(INSTRUMENT) zonemesh-bench-mesh --release

bench-registry: ## The registry at 3, 100 and 1000 simulated zones, in virtual time (SIZES="3 100").
	$(CARGO) bench --quiet --package zonemesh-core --bench registry_sim -- $(SIZES)

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
	@$(LAB) zonemesh-lab -- clean

# What one types here. `make` alone explains itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
STACK := deploy/dev/stack.sh
# Cargo where rustup puts it, for shells that have not been told.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Scanners that look at our own TLS, and at services of the tests, in tests: all but nikto, which is not free.
TEST_TOOLS = ffuf nmap ssh-audit sslscan sslyze testssl wafw00f wapiti whatweb

.PHONY: help run test test-slow faults bench fuzz lint fmt down clean-state

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start everything, run the demo, serve until Ctrl-C (ONCE=1: stop after the demo; LEVEL=L1 or none: a weaker sandbox)
	@ONCE='$(ONCE)' PICKET_LEVEL='$(LEVEL)' deploy/dev/run.sh

test: ## all tests, with services of their own
	@PICKET_INSTANCE=test PICKET_TOOLS='$(TEST_TOOLS)' $(STACK) run --beside 'cargo test --workspace --no-run' \
		cargo test --workspace --no-fail-fast

test-slow: ## the tests that take minutes each
	@PICKET_INSTANCE=test PICKET_TOOLS='$(TEST_TOOLS)' $(STACK) run cargo test --workspace --no-fail-fast -- --ignored

faults: ## the fault experiments in their long form (FAULTS_ROUNDS, FAULTS_SECONDS, FAULTS_SEED; docs/faults.md)
	@PICKET_INSTANCE=test PICKET_TOOLS='$(TEST_TOOLS)' $(STACK) run bash -c ' \
		for round in $$(seq $${FAULTS_ROUNDS:-5}); do \
			FAULTS_SECONDS=$${FAULTS_SECONDS:-300} cargo test -p picket --test faults -- --include-ignored --nocapture || exit 1; \
		done'

bench: ## the benchmarks, in release, with services of their own
	@PICKET_INSTANCE=bench $(STACK) run --beside 'cargo build --release -p picket-bench && cargo build --release -p picket' cargo run --release -p picket-bench

fuzz: ## every parser for a minute against hostile input (FUZZ_SECONDS, FUZZ_TOOLS)
	@fuzz/run.sh

# What test code may do and the product may not.
TESTS_MAY = -A clippy::unwrap_used -A clippy::expect_used -A clippy::indexing_slicing -A clippy::panic \
	-A clippy::as_conversions -A clippy::wildcard_enum_match_arm

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace -- -D warnings
	cargo clippy --workspace --all-targets -- -D warnings $(TESTS_MAY)

fmt: ## format all code
	cargo fmt --all

down: ## stop whatever was started from this checkout
	@$(STACK) down

clean-state: ## stop, and remove the fetched packages and all data
	@$(STACK) clean

# One entry point for people and for CI. `make` alone explains itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Tools that are no part of the program: Python clients, Helm. Pinned in the scripts that install them.
TOOLS ?= $(CURDIR)/.tools
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
NEPHOS_ARGS ?=
SOAK_MINUTES ?= 60
COMPARE_ARGS ?=
CONFORMANCE_ARGS ?=
LONG ?=
FUZZ_EXECUTIONS ?= 10000000

.PHONY: help run build test lint fmt fmt-check clippy docs deps-check bench compare compare-api compare-scale conformance conformance-diff fuzz soak client ceilometer chart-test ci install uninstall clean servers

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}'

run: client ## Build and start Nephos on this machine, no server needed
	@scripts/prerequisites
	@cargo build --release --package nephos
	@NEPHOS_CLIENT_DIR="$(TOOLS)/client/bin" "$(TARGET)/release/nephos" run $(NEPHOS_ARGS)

build: ## Build the release binary
	@scripts/prerequisites
	cargo build --release --package nephos
	@echo "built $(TARGET)/release/nephos"

test: client ## Install and start what tests need, run every test, print totals
	@scripts/prerequisites
	@scripts/servers start
	@TOOLS="$(TOOLS)" scripts/run-tests

conformance: ## Run Gnocchi's own functional suites against Nephos on both kinds of storage; LONG=1 adds conformance-diff
	@scripts/prerequisites
	@scripts/servers start
	@cargo build --locked --package nephos
	@set -a; eval "$$(scripts/servers env)"; TOOLS="$(TOOLS)" CARGO_TARGET_DIR="$(TARGET)"; \
	  integration-tests/conformance/run suites $(CONFORMANCE_ARGS); integration-tests/conformance/run replay
	@if [ -n "$(LONG)" ]; then $(MAKE) --no-print-directory conformance-diff CONFORMANCE_ARGS=; fi

conformance-diff: ## Send 2,400 random requests to Nephos and to a real Gnocchi and compare the answers
	@scripts/prerequisites
	@cargo build --locked --package nephos
	@TOOLS="$(TOOLS)" CARGO_TARGET_DIR="$(TARGET)" integration-tests/conformance/run compare $(CONFORMANCE_ARGS)

servers: ## Start the PostgreSQL, RabbitMQ and S3 server that tests use
	@scripts/servers start && scripts/servers env

lint: fmt-check clippy docs deps-check ## Check format, lints, documentation and dependencies

fmt: ## Format all code
	cargo fmt --all

fmt-check:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

docs: ## Build the API documentation of every crate; broken links are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@echo "documentation is in $(TARGET)/doc"

deps-check: ## Check licences, duplicates and that docs/dependencies.md names every dependency
	cargo test --quiet --locked --package nephos-integration-tests --test house

bench: build ## Measure the metric store under the load of a cloud, then the codec, the arithmetic and the reading of bodies below it
	"$(TARGET)/release/nephos" store bench
	cargo bench --locked --package nephos-timeseries --bench series --bench chunks --bench grid
	cargo bench --locked --package nephos-wire --bench scan

compare: ## Run Nephos (make build), Gnocchi, VictoriaMetrics, Prometheus and InfluxDB on the same work; COMPARE_ARGS=--quick
	@TOOLS="$(TOOLS)" CARGO_TARGET_DIR="$(TARGET)" benches/compare/run $(COMPARE_ARGS)

compare-api: ## Measure what requests of Gnocchi's API cost Nephos (make build) and Gnocchi; COMPARE_ARGS=--quick
	@TOOLS="$(TOOLS)" CARGO_TARGET_DIR="$(TARGET)" benches/compare/api $(COMPARE_ARGS)

compare-scale: ## Measure what a live point costs Nephos (make build) through HTTP among 20,000 metrics and among a million
	@TOOLS="$(TOOLS)" CARGO_TARGET_DIR="$(TARGET)" benches/compare/scale $(COMPARE_ARGS)

fuzz: ## Feed every parser of what clients send with FUZZ_EXECUTIONS=10000000 changed inputs, ask every route
	FUZZ_EXECUTIONS=$(FUZZ_EXECUTIONS) cargo test --release --locked --package nephos-api --test fuzz -- --nocapture

soak: build ## Kill a loaded Nephos at random moments and fill its disk for SOAK_MINUTES=60, counting every sample
	SOAK_MINUTES=$(SOAK_MINUTES) cargo test --release --locked --package nephos-integration-tests --features soak --test soak -- --nocapture

client: ## Install the gnocchi and aodh command-line clients into a private venv
	@scripts/clients "$(TOOLS)/client"

ceilometer: ## Install Ceilometer, whose publisher is tested, into a private venv
	@scripts/ceilometer "$(TOOLS)/ceilometer"

chart-test: ## Check the Helm chart on Helm 3 and 4
	@scripts/chart-test "$(TOOLS)"

ci: lint test chart-test ## Everything that must hold before a change lands

install: build ## Install the binary and systemd units under PREFIX (default /usr/local)
	install -D -m 0755 "$(TARGET)/release/nephos" "$(DESTDIR)$(PREFIX)/bin/nephos"
	for unit in deploy/systemd/*.service; do \
	  install -D -m 0644 "$$unit" "$(DESTDIR)/etc/systemd/system/$$(basename "$$unit")"; done

uninstall: ## Remove what install put there; data and configuration stay
	rm -f "$(DESTDIR)$(PREFIX)/bin/nephos"
	for unit in deploy/systemd/*.service; do rm -f "$(DESTDIR)/etc/systemd/system/$$(basename "$$unit")"; done

clean: ## Remove what was built and installed here
	cargo clean
	rm -rf "$(TOOLS)" dist

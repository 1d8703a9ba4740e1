# The whole interface of the project: `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Real engines where ANNALS_ENGINES names their folder, stand-ins otherwise.
EXTRA := $(if $(ANNALS_ENGINES),engines,stand-ins)
FUZZ_SECONDS ?= 60
SCENARIO ?= exactly-once
CASES ?=
PORTS ?= own

.PHONY: help up down clean-stack build test lint format test-promise test-relay golden fuzz tsan bench-relay bench-http check-settings install

help: ## List what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

install: ## Install what is missing (apt, pip)
	@scripts/install $(EXTRA)

build: install ## Build the binary, optimized
	@swift build -c release --product annals

up: install ## Start everything on ports of its own, load documents and show a tour
	@scripts/up

down: ## Stop exactly what `make up` started
	@scripts/down

clean-stack: down ## Stop everything and delete the data
	@scripts/stack forget dev
	@scripts/stack forget well-known
	@scripts/stack forget test

test: install ## Run every test on a stack of its own, then stop it
	@scripts/with-test-stack swift test

test-promise: install ## Kill relay and projector again and again under load; nothing may be lost or out of order
	@scripts/with-test-stack scripts/test-promise

test-relay: install ## Break a relay's world under load: SCENARIO=exactly-once, exactly-once-table, catch-up, slot, lost, failover, secure, large, stall or brokers
	@scripts/with-test-stack scripts/test-relay $(SCENARIO)

golden: install ## Compare the relay's messages with recorded ones of Debezium (CASES=DIR)
	@[ -d "$(CASES)" ] || { echo "there are no cases in $(CASES): make golden CASES=DIR, in the form that scripts/golden tells" >&2; exit 1; }
	@swift build -c release --product annals
	@scripts/with-test-stack scripts/golden $(CASES)

fuzz: ## Mangle messages for a while (FUZZ_SECONDS=60) and look for traps in the relay
	@scripts/fuzz $(FUZZ_SECONDS) $(CASES)

tsan: install ## Run the relay under ThreadSanitizer
	@scripts/with-test-stack scripts/tsan

bench-relay: ## Rows per second and latency beside pg_recvlogical and Debezium
	@scripts/install $(EXTRA)
	@scripts/with-test-stack scripts/bench-relay

bench-http: ## Requests per second beside pgbench and nginx
	@scripts/install $(EXTRA) bench
	@scripts/with-test-stack scripts/bench-http

lint: ## Style, direction of imports, settings page
	@scripts/lint

format: ## Format all Swift sources
	@swift format --in-place --recursive Package.swift Sources Tests sql

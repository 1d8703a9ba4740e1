# The whole interface of the project: `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Real engines where ANNALS_ENGINES names their folder, stand-ins otherwise.
EXTRA := $(if $(ANNALS_ENGINES),engines,stand-ins)
FUZZ_SECONDS ?= 60
SCENARIO ?= exactly_once
ON_STACK := scripts/stack with test
CASES ?=
PORTS ?= own

.PHONY: help up down clean-stack build test lint format protos test-promise test-relay chaos golden fuzz fuzz-api tsan bench-relay bench-log bench-outbox-soak bench-rebuild bench-freshness bench-sockets bench-grpc bench-search load load-open soak bench-overload bench-http bench-routes bench-content pages install

help: ## List what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

install: ## Install what is missing (apt, pip)
	@scripts/install $(EXTRA)

build: install ## Build the binary, optimized
	@swift build -c release --product annals

up: install ## Start everything, load documents and show a tour (PORTS=well-known: on the usual ports; SERVICES=apart: each in its process)
	@scripts/up $(or $(PORTS),own) $(SERVICES)

down: ## Stop exactly what `make up` started
	@scripts/down

clean-stack: down ## Stop everything and delete the data
	@scripts/stack forget dev
	@scripts/stack forget well-known
	@scripts/stack forget test

test: install ## Run every test on a stack of its own, then stop it
	@scripts/install tests
	@cd Tests && python3 -m unittest -q Rig.test_order
	@.stack/tools/bin/python Tests/API/event_schemas.py
	@.stack/tools/bin/python Tests/API/messages.py
	@.stack/tools/bin/python Tests/API/examples.py
	@$(ON_STACK) swift test

test-promise: install ## Kill relay and projector again and again under load; nothing may be lost or out of order
	@$(ON_STACK) Tests/Scenarios/promise.py

test-relay: install ## Break a relay's world under load (SCENARIO=exactly_once, or another file of Tests/Scenarios)
	@$(ON_STACK) Tests/Scenarios/$(subst -,_,$(SCENARIO)).py $(ARGUMENTS)

chaos: install ## Break everything under load by a seeded schedule (MINUTES=10 SEED=1; BESIDE=BINARY of another version; FAULT=drop must be convicted)
	@$(ON_STACK) Tests/Scenarios/chaos.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT)) $(if $(BESIDE),--beside $(BESIDE))

golden: install ## Compare the relay's messages with recorded ones of Debezium (CASES=DIR)
	@[ -n "$(CASES)" ] || { Tests/Golden/golden.py; exit 1; }
	@$(ON_STACK) Tests/Golden/golden.py $(CASES)

fuzz: ## Mangle input for a while and look for traps in relay and HTTP server (FUZZ_SECONDS=60, CASES=DIR)
	@Tests/Fuzz/fuzz.py $(FUZZ_SECONDS) $(CASES)

fuzz-api: install ## Ask every operation of the API for what it should and should not be asked (ARGUMENTS="--examples 100")
	@scripts/install tests
	@$(ON_STACK) Tests/API/fuzz_api.py $(ARGUMENTS)

tsan: install ## Run the relay under ThreadSanitizer
	@$(ON_STACK) Tests/Scenarios/tsan.py

bench-relay: ## Rows per second and latency beside pg_recvlogical and Debezium
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/relay.py $(ARGUMENTS)

bench-log: ## The event store beside pgbench, COPY and the Python library eventsourcing (ARGUMENTS=--events 10000000)
	@scripts/install $(EXTRA) bench peers
	@swift build -c release --product annals && swift build -c release --product bench-log
	@ANNALS_FSYNC=on $(ON_STACK) Benchmarks/log.py $(ARGUMENTS)

bench-outbox-soak: ## The outbox's size and the longest appends over 2 million events (ARGUMENTS=--events 500000)
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/soak.py $(ARGUMENTS)

bench-rebuild: ## Rebuilding views beside _bulk, redis-cli --pipe and COPY (ARGUMENTS="--events 5000000")
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/rebuild.py $(ARGUMENTS)

bench-freshness: ## How soon a write is cached and searchable, beside Redis and Elasticsearch alone
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/freshness.py $(ARGUMENTS)

bench-sockets: ## 10,000 sockets: memory, fan-out, deliveries, a long way back
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/sockets.py $(ARGUMENTS)

bench-grpc: ## Calls per second by gRPC beside Python's grpc.aio
	@scripts/install $(EXTRA) bench-grpc
	@$(ON_STACK) Benchmarks/calls.py $(ARGUMENTS)

bench-search: ## Searches per second beside Elasticsearch asked directly
	@scripts/install $(EXTRA) bench
	@$(ON_STACK) Benchmarks/search.py $(ARGUMENTS)

load: ## What users feel: Locust's users on services apart, behind gateway and PgBouncer (ARGUMENTS="--seconds 30")
	@scripts/install $(EXTRA) bench load
	@$(ON_STACK) Benchmarks/load.py $(ARGUMENTS)

load-open: ## The same mix at shares of the capacity, each request at its time (ARGUMENTS="--seconds 30 --shares 25,50")
	@scripts/install $(EXTRA) bench load
	@$(ON_STACK) .stack/load/bin/python Benchmarks/load_open.py $(ARGUMENTS)

soak: ## The same mix at half of the capacity: memory, descriptors and latency of each minute (MINUTES=30)
	@scripts/install $(EXTRA) bench load
	@$(ON_STACK) .stack/load/bin/python Benchmarks/load_open.py --soak $(or $(MINUTES),30) $(ARGUMENTS)

bench-routes: ## Routes with tokens, through gateway and PgBouncer, beside pgbench and nginx
	@scripts/install $(EXTRA) bench
	@$(ON_STACK) Benchmarks/routes.py $(ARGUMENTS)

bench-overload: ## What is left of the work when five times as much is asked for
	@scripts/install $(EXTRA)
	@$(ON_STACK) Benchmarks/overload.py $(ARGUMENTS)

bench-http: ## Requests per second beside pgbench and nginx
	@scripts/install $(EXTRA) bench
	@$(ON_STACK) Benchmarks/rest.py $(ARGUMENTS)

bench-content: ## Large contents beside the object store, uploads at once, idle and trickling clients
	@scripts/install $(EXTRA) bench
	@$(ON_STACK) Benchmarks/content.py $(ARGUMENTS)

lint: ## Form, direction and use of imports, printed pages
	@scripts/lint

pages: ## Print the pages of settings, metrics and routes into docs/ again
	@swift build --product annals
	@for page in settings metrics routes; do \
	  { sed '/^| /,$$d' docs/$$page.md; .build/debug/annals $$page; } > .build/page && cp .build/page docs/$$page.md; done
	@.build/debug/annals openapi | jq . > docs/openapi.json

protos: ## Make Swift of the .proto files again
	@swift build --product protoc-gen-annals
	@scripts/protos

format: ## Format all Swift sources
	@swift format --in-place --recursive Package.swift Sources Tests sql

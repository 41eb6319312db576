# The two commands to begin with: `make demo` and `make test`.

# Expanded when something is built, not each time: make demo need not ask git.
NAMED    = $(shell scripts/version.sh)
CLI     := github.com/pgherd/pgherd/internal/cli
LDFLAGS  = -s -w -buildid= -X $(CLI).version=$(word 1,$(NAMED)) -X $(CLI).commit=$(word 2,$(NAMED)) -X $(CLI).date=$(word 3,$(NAMED))
SOURCES := $(shell find cmd internal -name '*.go' -not -name '*_test.go') $(wildcard internal/ui/dist/*) go.mod go.sum

.PHONY: help demo test vuln ui screenshots build dist image reproducible test-container test-systemd lint deps bench-follow bench-failover bench-handover bench-face bench-sync bench-calm test-versions failures sim sim-mutants sim-bench sim-million lab lab-ci lab-pairs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: deps bin/pgherd ## a cluster of three on this machine, with a tour (ARGS="--no-tour --nodes 5")
	@bin/pgherd demo $(ARGS)

test: ## all tests
	@scripts/deps.sh test
	@scripts/test.sh

build: bin/pgherd ## bin/pgherd, static

bin/pgherd: $(SOURCES)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $@ ./cmd/pgherd

dist: ## packages for all: deb, rpm, archive, bill of materials, SHA256SUMS, in bin/dist (GOARCH=arm64 for another machine)
	@scripts/dist.sh

reproducible: ## all of it twice, in two places, compared byte by byte (FRESH=1: the second without Go's cache)
	@scripts/reproducible.sh

ui: ## the dashboard anew, from ui/ into internal/ui/dist (needs npm)
	@cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run check && npm test && npm run build

screenshots: ## docs/img anew, from a real cluster in a real browser (about 4 minutes)
	@scripts/deps.sh test
	@PGHERD_SCREENSHOTS=$(CURDIR)/docs/img go test -count=1 ./test/integration -run 'TestDashboard$$'

image: ## the container image, with Debian's packages and without a container engine, in bin/dist (as root)
	@scripts/image.sh

test-container: ## deploy/compose with Docker's engine from Debian's packages: killed, stopped, restarted (as root; about five minutes)
	@scripts/test-container.sh

test-systemd: ## the deb and its unit under a real systemd, by the quick start's text (as root; about three minutes)
	@scripts/test-systemd.sh

lint: ## formatting and vet
	@scripts/lint.sh

deps: ## install what is missing: PostgreSQL, PgBouncer, Go modules
	@scripts/deps.sh

bench-failover: deps bin/pgherd ## measure failover, rejoin and footprint (ARGS="-n 10 --json")
	@go build -o bin/bench-failover ./bench/failover
	@bin/bench-failover --exe bin/pgherd $(ARGS)

bench-handover: deps bin/pgherd ## planned moves behind an endpoint against a script in the same run; what the endpoint costs (ARGS="-n 10 --json"; about 15 minutes)
	@go build -o bin/bench-handover ./bench/handover
	@bin/bench-handover --exe bin/pgherd $(ARGS)

bench-follow: deps bin/pgherd ## how soon all poolers follow: ten members, a thousand idle clients (ARGS="-n 5"; about 3 minutes)
	@go build -o bin/bench-follow ./bench/follow
	@bin/bench-follow --exe bin/pgherd $(ARGS)

bench-face: deps bin/pgherd ## health answers at 200 requests a second, and the agent's memory with everything on (about 5 minutes)
	@go build -o bin/bench-face ./bench/face
	@bin/bench-face --exe bin/pgherd $(ARGS)

bench-sync: deps bin/pgherd ## throughput of synchronous commits against plain PostgreSQL, in turns (ARGS="-n 5 -length 30s"; about 8 minutes)
	@go build -o bin/bench-sync ./bench/sync
	@bin/bench-sync --exe bin/pgherd $(ARGS)

bench-calm: deps bin/pgherd ## false failovers under full load, the store on the same disk (MINUTES=30)
	@go build -o bin/bench-calm ./bench/calm
	@bin/bench-calm --exe bin/pgherd -length $(or $(MINUTES),30)m $(ARGS)

test-versions: deps ## the same cluster on PostgreSQL 15, 17 and 18, in a Debian root of its own (as root; about 4 minutes the first time)
	@scripts/versions.sh

failures: ## docs/failures.md anew, from lab/catalogue
	@go test -count=1 ./lab/catalogue -run TestPageIsMadeOfTheCatalogue -update

sim: ## simulate clusters for a CPU minute (SEED=n tells one run, CPU=seconds, ARGS="-small")
	@go build -buildvcs=auto -o bin/sim ./cmd/sim
	@bin/sim $(if $(SEED),-seed $(SEED),-from $$(date +%s)0000 -cpu $(or $(CPU),60) -regressions internal/sim/testdata/regressions.txt) $(ARGS)

sim-mutants: ## score the simulator: deliberate faults, each found, with its first seed (MUTANT=name for one)
	@go build -buildvcs=auto -o bin/sim ./cmd/sim
	@bin/sim -mutants $(or $(MUTANT),all) $(ARGS)

sim-bench: ## schedules per CPU second: 3 members, 120 virtual seconds, 3 clients
	@go build -buildvcs=auto -o bin/sim ./cmd/sim
	@bin/sim -members 3 -from 1 -n 5000 -workers 1 -quiet

sim-million: ## a million schedules, sync and async, recorded in docs/simulator-record.txt (about 1.5 CPU hours)
	@go build -buildvcs=auto -o bin/sim ./cmd/sim
	@bin/sim -from 1 -n 1000000 -record docs/simulator-record.txt

vuln: ## known vulnerabilities in what is called (asks vuln.go.dev; a part of make test where that answers)
	@scripts/vuln.sh

lab: ## real faults on real processes, as root; a table at the end (SCENARIO=a,b for some; WITNESS=1: two data members and a witness)
	@LAB_WITNESS=$(WITNESS) scripts/lab.sh "$(SCENARIO)"

lab-ci: ## the lab's subset that runs for each change
	@scripts/lab.sh ci

lab-pairs: ## random pairs of faults on real processes (MINUTES=120, SEED=n)
	@scripts/lab.sh pairs "$(or $(MINUTES),120)" "$(SEED)"

clean: ## remove what was built
	rm -rf bin

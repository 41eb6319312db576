#!/bin/bash
# Runs all tests: unit tests, core scenarios, store conformance, and what runs real
# PostgreSQL and real processes; known vulnerabilities (scripts/vuln.sh, by test/vuln) where vuln.go.dev answers. At the end there
# is an overview of what ran and of what was skipped and why.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
scripts/lint.sh
go build -o bin/overview ./scripts/overview
CGO_ENABLED=0 go build ./...

# One package after the other: many tests time real processes, and two such packages at
# once on a small machine would measure each other.
export PGHERD_SIM_CPU=${PGHERD_SIM_CPU:-60} # seconds that the simulator's swarm gets
go test -json -count=1 -p 1 -timeout 20m ./... | bin/overview

# What each change must survive of the laboratory; it needs root for namespaces, mounts and cgroups.
if [ "$(id -u)" = 0 ]; then
	scripts/lab.sh ci
elif [ -n "${CI:-}" ]; then
	echo "error: the laboratory's part of the tests needs root, and CI must not leave it out" >&2
	exit 1
else
	echo "left out: the laboratory's scenarios (make lab-ci), which need root"
fi
# What takes root, namespaces and a Debian mirror, and another quarter of an hour: for a release, and for who changes packages or the image.
if [ -n "${CI_FULL:-}" ]; then
	scripts/test-systemd.sh
	scripts/test-container.sh
	scripts/reproducible.sh
fi
echo "all of it took $((SECONDS - began)) s"

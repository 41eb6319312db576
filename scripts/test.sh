#!/bin/bash
# Runs all tests: unit tests, core scenarios, store conformance, and what runs real
# PostgreSQL and real processes. At the end there is an overview of what ran and of what was skipped and why.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
scripts/lint.sh
go build -o bin/overview ./scripts/overview
CGO_ENABLED=0 go build ./...

# One package after the other: many tests time real processes, and two such packages at
# once on a small machine would measure each other.
go test -json -count=1 -p 1 -timeout 20m ./... | bin/overview
echo "all of it took $((SECONDS - began)) s"

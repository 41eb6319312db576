#!/bin/bash
# What the compiler does not see: formatting, vet.
set -euo pipefail
cd "$(dirname "$0")/.."
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "error: not formatted:" $unformatted >&2
	echo "hint: gofmt -w" $unformatted >&2
	exit 1
fi
go vet ./...
go vet -tags lab ./lab/...

#!/bin/bash
# Looks for known vulnerabilities in what the binary really calls. It asks https://vuln.go.dev, so it needs the internet and may find
# something new on any day: it is no part of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.1.4 # golang.org/x/vuln
if ! out=$(go run "golang.org/x/vuln/cmd/govulncheck@$version" ./cmd/pgherd 2>&1); then
	echo "$out"
	echo "error: govulncheck has found something, or could not ask" >&2
	echo "hint: raise what it names in go.mod; if nothing can be raised, say in docs/security.md why it does not matter" >&2
	exit 1
fi
echo "$out"

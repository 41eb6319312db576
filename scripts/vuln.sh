#!/bin/bash
# Looks for known vulnerabilities in what the binary really calls. It asks https://vuln.go.dev, so it may find something new
# on any day; where that does not answer it says so, within ten seconds, and ends with 3: nothing is known then, and who runs it decides. The tests
# run it, too (test/vuln).
#
# PGHERD_VULN_DB: another database, http(s):// or file:///DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/.."
db=${PGHERD_VULN_DB:-https://vuln.go.dev}
name=${db#*://}
if [[ $db != file://* ]] && ! why=$(go run ./scripts/reach "$db/index/db.json" 2>&1); then
	echo "LEFT OUT: govulncheck: ${name%%/*} does not answer"
	echo "$why" >&2
	exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -C scripts/govulncheck -o "$work/govulncheck" golang.org/x/vuln/cmd/govulncheck
if ! out=$("$work/govulncheck" -db "$db" ./cmd/pgherd 2>&1); then
	echo "$out"
	echo "error: govulncheck has found something, or could not ask" >&2
	echo "hint: raise what it names in go.mod; if nothing can be raised, say in docs/security.md why it does not matter" >&2
	exit 1
fi
echo "$out"

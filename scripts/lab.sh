#!/bin/bash
# Runs the laboratory: all scenarios, those named in the first argument (a list with commas), "ci", or "pairs" with
# minutes and a seed: random pairs of faults. LAB_WITNESS=1: two data members and a witness. It needs root for namespaces, mounts and cgroups, and takes all of them down at its end.
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "error: $1" >&2; echo "hint: $2" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "the lab makes network namespaces, mounts and cgroups: it needs root" "sudo -E env PATH=\"\$PATH\" make lab"
export PATH="$PATH:/usr/sbin:/sbin"
scripts/deps.sh lab

# The lab's own parts first: a scenario says nothing when its fault does not happen.
if [ -z "${1:-}" ]; then
	go test -tags lab -count=1 -p 1 -timeout 10m ./lab/rig ./lab/cluster ./lab/load ./lab/history ./lab/catalogue
fi
if [ "${1:-}" = pairs ]; then
	LAB_PAIRS=${2:-120} LAB_SEED=${3:-} exec go test -tags lab -count=1 -timeout "$((${2:-120} + 30))m" -v -run '^TestPairs$' ./lab
fi
limit=100m
if [ "${1:-}" = ci ]; then limit=20m; fi
LAB_SCENARIO=${1:-} exec go test -tags lab -count=1 -timeout "$limit" -v -run '^Test' -skip '^TestPairs$' ./lab

#!/bin/bash
# Makes all packages of HEAD in two clones, in directories, with umasks, homes and time zones of their own, and compares
# them byte by byte. Usage: scripts/reproducible.sh [DIRECTORY]: with what was made there before, instead of a first clone.
# FRESH=1: the second build without Go's cache (minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cache=$(go env GOCACHE) modules=$(go env GOMODCACHE)
build() { # NAME UMASK ZONE CACHE
	git clone --quiet . "$work/$1/clone"
	git -C "$work/$1/clone" checkout --quiet --detach "$(git rev-parse HEAD)"
	git tag -l | (cd "$work/$1/clone" && while read -r tag; do git fetch --quiet --no-tags origin "refs/tags/$tag:refs/tags/$tag"; done)
	mkdir -p "$work/$1/home"
	(umask "$2" && TZ=$3 HOME=$work/$1/home GOCACHE=$4 GOMODCACHE=$modules "$work/$1/clone/scripts/dist.sh" "$work/$1/dist" >"$work/$1.log" 2>&1) || {
		cat "$work/$1.log" >&2
		exit 1
	}
}
first=${1:-}
if [ -z "$first" ]; then
	build first 022 UTC "$cache"
	first=$work/first/dist
fi
build the-second-one-elsewhere 077 Pacific/Auckland "$([ -n "${FRESH:-}" ] && echo "$work/cache" || echo "$cache")"
if ! diff "$first/SHA256SUMS" "$work/the-second-one-elsewhere/dist/SHA256SUMS"; then
	echo "error: two builds of one commit differ" >&2
	echo "hint: diffoscope says in what" >&2
	exit 1
fi
cat "$first/SHA256SUMS"

#!/bin/bash
# Prints the file "copyright" of the packages: pgherd's own notice, then the licence of each module that is in the binary,
# each text once.
set -euo pipefail
cd "$(dirname "$0")/.."
cat <<'END'
pgherd: https://github.com/pgherd/pgherd
Copyright: the authors of pgherd; no licence has been stated yet.

The program contains the following Go modules, and Go's standard library, under the licences that follow.
END
texts=$(mktemp -d)
trap 'rm -rf "$texts"' EXIT
one() { # NAME DIRECTORY
	local file sum
	for file in "$2"/LICENSE* "$2"/LICENCE* "$2"/COPYING* "$2"/NOTICE* "$2"/license*; do
		[ -f "$file" ] || continue
		sum=$(sha256sum "$file" | cut -c1-16)
		cp "$file" "$texts/$sum.text"
		echo "$1" >>"$texts/$sum.names"
	done
}
one "Go $(go env GOVERSION)" "$(go env GOROOT)"
while read -r path version dir; do
	[ -n "${dir:-}" ] || { echo "error: $path is not in the module cache" >&2; exit 1; }
	one "$path $version" "$dir"
done < <(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/pgherd | sort -u)
for names in "$texts"/*.names; do
	echo
	echo "----------------------------------------------------------------------"
	sort -u "$names"
	echo
	cat "${names%.names}.text"
done

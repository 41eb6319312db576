#!/bin/bash
# Proves that pgherd runs with PostgreSQL 15, 17 and 18, the majors that Debian's suites
# hold: in a Debian root with all three, each runs the tests of internal/postgres and those
# of test/versions (a cluster of three: failover, switchover, rewind, clone, and the refusal
# of another major). PostgreSQL 14 and 16 are in no suite: they are NOT run.
#
# Usage: scripts/versions.sh [MAJOR...]   (as root; default: 15 17 18)
# PGHERD_VERSIONS_ROOT: where the root is kept (default /var/lib/pgherd-versions; 1.1 GB)
set -euo pipefail
cd "$(dirname "$0")/.."

root=${PGHERD_VERSIONS_ROOT:-/var/lib/pgherd-versions}
majors=${*:-15 17 18}
declare -A other=([15]=18 [17]=18 [18]=17) # who is refused where
began=$SECONDS failed=0

# A step of the table: its name here, and the test's.
steps=(
	"three members stream|TestCluster/three_streaming"
	"kill -9 of the primary under load, nothing lost|TestCluster/failover_under_load"
	"switchover under load, nothing lost|TestCluster/switchover_under_load"
	"diverged primary is rewound|TestCluster/divergence_and_rewind"
	"standby is cloned anew|TestCluster/clone"
	"joining member of another major is refused|TestOtherMajorIsRefused"
	"data of another major are left alone|TestDataOfAnotherMajorAreLeftAlone"
)

die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "this needs root, for debootstrap and chroot" "sudo make test-versions"
for major in $majors; do
	[ -n "${other[$major]:-}" ] || die "PostgreSQL $major is in no Debian suite that the root is made of" "15, 17 and 18 are"
done

mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock -n 9 || { echo "versions: waiting for another run" >&2; flock 9; }
scripts/versions/root.sh "$root"

built=$(mktemp -d) logs=$PWD/bin/versions
trap 'rm -rf "$built"' EXIT
chmod 755 "$built"
mkdir -p "$logs"
export CGO_ENABLED=0
go build -trimpath -o "$built/pgherd" ./cmd/pgherd
go test -c -o "$built/postgres.test" ./internal/postgres
go test -c -tags versions -o "$built/versions.test" ./test/versions

# inside MAJOR TEST LOG runs a test binary with that major's programs.
inside() {
	timeout 600 scripts/versions/inside.sh "$root" "$built" PGHERD_TEST_EXE=/versions/pgherd \
		PGHERD_TEST_BINDIR="/usr/lib/postgresql/$1/bin" PGHERD_TEST_OTHER_BINDIR="/usr/lib/postgresql/${other[$1]}/bin" \
		"/versions/$2" -test.v -test.timeout 9m >"$3" 2>&1 9>&-
}

table="VERSION|CHECK|RESULT|TIME"$'\n'
row() { # VERSION CHECK RESULT TIME
	table+="$1|$2|$3|$4"$'\n'
	[ "$3" = ok ] || failed=1
}

# unit runs the package that knows PostgreSQL.
unit() {
	local log=$logs/$1-postgres.log start=$SECONDS result=ok
	inside "$1" postgres.test "$log" || result=failed
	row "$2" "tests of internal/postgres ($(grep -c '^ *--- PASS' "$log" || true) passed)" $result $((SECONDS - start))s
	[ $result = ok ] || tail -n 60 "$log" >&2
}

# walk runs the clusters and finds each step's end in what the tests printed. A step that
# printed none was not run, which is no success.
walk() {
	local log=$logs/$1-cluster.log rc=0 step line result
	inside "$1" versions.test "$log" || rc=$?
	for step in "${steps[@]}"; do
		line=$(grep -E -m1 -- "^ *--- (PASS|FAIL|SKIP): ${step#*|} " "$log" || true)
		case $line in
		*PASS*) result=ok ;;
		*FAIL*) result=failed ;;
		*) result="not run" ;;
		esac
		row "$2" "${step%|*}" "$result" "$(sed -nE 's/.*\(([0-9.]+s)\).*/\1/p' <<<"$line")"
	done
	[ $rc = 0 ] && return
	failed=1
	tail -n 100 "$log" >&2
}

for major in $majors; do
	version=$(chroot "$root" "/usr/lib/postgresql/$major/bin/postgres" --version | sed -E 's/.*\) ([0-9.]+).*/\1/')
	echo "versions: PostgreSQL $version" >&2
	unit "$major" "$version"
	walk "$major" "$version"
done
for major in 14 16; do
	table+="$major|all|not run: in no Debian suite|"$'\n'
done

column -t -s '|' <<<"$table"
echo
echo "all of it took $((SECONDS - began)) s; what the tests printed is in $logs"
[ $failed = 0 ] || die "not all of it is ok"

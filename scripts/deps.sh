#!/bin/bash
# Installs what pgherd's build, demo and tests need and this machine lacks: PostgreSQL (14
# or newer, from Debian's packages), PgBouncer (1.21 or newer), HAProxy, Prometheus and the Go modules; with the
# argument "test" also what builds and drives the dashboard (npm, Chromium) and what watches Patroni (check_patroni, vip-manager), with "lab" also what makes faults. It changes nothing that is there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "deps: $*" >&2; }
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "'$*' needs root" "run it as root, then repeat make"; fi
}

# refresh fetches the package lists, once.
refreshed=
refresh() {
	[ -n "$refreshed" ] && return
	command -v apt-get >/dev/null || die "$1 is missing and this is no Debian" "install $1 by hand"
	say "apt-get update"
	as_root apt-get -q update >&2
	refreshed=1
}
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "$@" </dev/null >&2; }

# Debian's Go is new enough to fetch the toolchain that go.mod names from 1.21 on.
find_go() {
	command -v go >/dev/null && return
	for dir in /usr/local/go/bin /usr/lib/go-1.2[1-9]/bin; do
		[ -x "$dir/go" ] && die "go is not in PATH" "export PATH=$dir:\$PATH"
	done
	refresh go
	local candidate
	candidate=$(apt-cache policy golang-go | sed -n 's/.*Candidate: *\(2:\)\?1\.\([0-9]*\).*/\2/p')
	[ "${candidate:-0}" -ge 21 ] || die "go is missing, and this Debian's own (1.${candidate:-?}) is too old to fetch a newer one" \
		"install Go from https://go.dev/dl/ into /usr/local/go and put /usr/local/go/bin into PATH"
	say "installing Go"
	install golang-go ca-certificates
}

find_postgres() {
	local bin
	for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
		[ -x "$bin/postgres" ] && [ -x "$bin/psql" ] || continue
		[ "$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 14 ] && return
	done
	say "installing PostgreSQL"
	refresh PostgreSQL
	install postgresql-common
	# The package makes and starts a server of its own unless it is told not to; nobody
	# asked for that one. The administrator's setting is put back afterwards.
	local conf=/etc/postgresql-common/createcluster.conf
	as_root cp -p "$conf" "$conf.pgherd"
	echo 'create_main_cluster = false' | as_root tee -a "$conf" >/dev/null
	local failed=
	install postgresql || failed=1
	as_root mv "$conf.pgherd" "$conf"
	[ -z "$failed" ] || die "PostgreSQL could not be installed" "apt-get install postgresql says why"
}

# Before 1.21 PgBouncer has no prepared statements in transaction mode, and crashes in ways that were
# repaired there. A package's own server on port 6432 is not wanted, so none is installed.
find_pgbouncer() {
	local bin
	for bin in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer /usr/local/sbin/pgbouncer /usr/local/lib/pgherd/pgbouncer; do
		"$bin" --version 2>/dev/null | grep -qE '^PgBouncer (1\.(2[1-9]|[3-9][0-9])|[2-9])' && return
	done
	say "fetching PgBouncer"
	command -v apt-get >/dev/null || die "PgBouncer 1.21 or newer is missing and this is no Debian" "install it by hand"
	as_root scripts/pgbouncer.sh
}

# The real HAProxy asks the members' health in a test. Debian's package starts a server of its own that listens nowhere.
find_haproxy() {
	command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] && return
	say "installing HAProxy"
	refresh HAProxy
	install haproxy
}

# The real Prometheus scrapes a cluster in a test, and its promtool checks the alert rules. Debian's package would start a
# server that nobody asked for, and bring web pages: only the two programs are taken out of it (19 MB to fetch; apt
# checks the signature).
find_prometheus() {
	local at=/usr/local/lib/pgherd work
	command -v prometheus >/dev/null && command -v promtool >/dev/null && return
	[ -x "$at/prometheus" ] && [ -x "$at/promtool" ] && return
	say "fetching Prometheus"
	refresh Prometheus
	work=$(mktemp -d)
	if [ "$(id -u)" = 0 ] && id _apt >/dev/null 2>&1; then chown _apt "$work"; fi # it downloads, not root
	(cd "$work" && apt-get -q download prometheus >&2) || die "Prometheus could not be fetched" "apt-get download prometheus says why"
	dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
	as_root env install -D -m 755 -t "$at" "$work/root/usr/bin/prometheus" "$work/root/usr/bin/promtool"
	rm -rf "$work"
}

# What was written to watch Patroni asks members in a test. iproute2: an interface of its own is given to vip-manager.
find_watchers() {
	command -v ip >/dev/null || [ -x /usr/sbin/ip ] || { refresh iproute2; install iproute2; }
	[ -x /usr/local/lib/pgherd/check_patroni ] && [ -x /usr/local/lib/pgherd/vip-manager ] && return
	say "fetching check_patroni and vip-manager"
	command -v python3 >/dev/null || { refresh python3; install python3; }
	as_root scripts/watchers.sh
}

# The real pgjdbc connects with what `pgherd dsn --format jdbc` prints, in a test; a JDK, because the test's program is a source file.
find_jdbc() {
	local missing=()
	[ -e /usr/share/java/postgresql.jar ] || missing+=(libpostgresql-jdbc-java)
	command -v java >/dev/null && command -v javac >/dev/null || missing+=(default-jdk-headless)
	[ "${#missing[@]}" = 0 ] && return
	say "installing ${missing[*]}"
	refresh "${missing[*]}"
	install "${missing[@]}"
}

# The dashboard's files are made anew in a test and held against those that are kept: a build of pgherd needs no npm.
find_npm() {
	command -v npm >/dev/null && [ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] && return
	! command -v node >/dev/null || command -v npm >/dev/null || die "there is Node.js, but no npm" "install the npm that belongs to it"
	say "installing npm"
	refresh npm
	install npm
	[ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] || die "Node.js $(node --version) is too old to build the dashboard" "18 or newer is wanted"
}

# A real browser looks at the dashboard. The font is for the pictures in the documentation.
find_chromium() {
	command -v chromium >/dev/null && return
	say "installing Chromium"
	refresh Chromium
	install chromium fonts-dejavu-core
}

# With these the packages are looked at in a test: what rpm and man say of them, and systemd of the units.
find_packaging_tools() {
	local missing=()
	command -v rpm >/dev/null || missing+=(rpm)
	command -v man >/dev/null || missing+=(man-db)
	command -v systemd-analyze >/dev/null || missing+=(systemd)
	command -v xz >/dev/null || missing+=(xz-utils)
	[ "${#missing[@]}" = 0 ] && return
	say "installing ${missing[*]}"
	refresh "${missing[*]}"
	install "${missing[@]}"
}

# The lab's hosts are made with these; the compiler is for what is put before libc's fsync.
find_lab_tools() {
	local missing=()
	command -v nft >/dev/null || [ -x /usr/sbin/nft ] || missing+=(nftables)
	command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing+=(iproute2)
	command -v mkfs.ext4 >/dev/null || [ -x /usr/sbin/mkfs.ext4 ] || missing+=(e2fsprogs)
	command -v nsenter >/dev/null && command -v unshare >/dev/null || missing+=(util-linux)
	command -v gcc >/dev/null || missing+=(gcc)
	[ -e /usr/include/dlfcn.h ] || missing+=(libc6-dev)
	[ "${#missing[@]}" = 0 ] && return
	say "installing ${missing[*]}"
	refresh "${missing[*]}"
	install "${missing[@]}"
}

find_go
find_postgres
find_pgbouncer
find_haproxy
find_prometheus
find_jdbc
if [ "${1:-}" = test ]; then
	find_npm
	find_chromium
	find_packaging_tools
	find_watchers
fi
[ "${1:-}" != lab ] || find_lab_tools
go version >/dev/null || die "go does not run here" "go.mod asks for $(sed -n 's/^go //p' go.mod)"
go mod download || die "the Go modules could not be fetched" "is the module proxy ($(go env GOPROXY)) reachable?"

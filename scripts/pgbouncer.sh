#!/bin/bash
# Puts a recent PgBouncer beside a Debian whose own is too old (bookworm's 1.18): the program and
# the libraries that it needs, from a newer suite, unpacked into a directory of their own and run
# with them by a wrapper. Nothing of the system is replaced and nothing is installed. apt
# checks Debian's signature, as for any package.
#
# Usage: scripts/pgbouncer.sh   (as root; scripts/deps.sh calls it)
# PGHERD_PGBOUNCER_SUITE: another suite than forky
set -euo pipefail

suite=${PGHERD_PGBOUNCER_SUITE:-forky}
root=/var/lib/pgherd-pgbouncer wrapper=/usr/local/lib/pgherd/pgbouncer
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || die "$keyring is missing" "apt-get install debian-archive-keyring, or install PgBouncer 1.21 or newer by hand"
mkdir -p "$(dirname "$root")" "$(dirname "$wrapper")"
exec 9>"$root.lock"
flock 9
if [ -z "${PGHERD_PGBOUNCER_SUITE:-}" ] && "$wrapper" --version >/dev/null 2>&1; then exit; fi # another was quicker

work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/debs "$work"/root
: >"$work/state/status" # as if nothing were installed: what is needed is then all that is listed
echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$work/sources.list"
if id _apt >/dev/null 2>&1; then chown -R _apt "$work"; fi # it downloads, not root
apt=(-q -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache"
	-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
	-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Install-Recommends=false)
apt-get "${apt[@]}" update >&2

# Of what an installation would bring, the libraries; Perl's belong to scripts that do not run here.
packages=$(apt-get "${apt[@]}" -s install pgbouncer | sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -E '^(pgbouncer$|lib)' | grep -vE 'perl|-common$')
(cd "$work/debs" && apt-get "${apt[@]}" download $packages >&2)
for deb in "$work"/debs/*.deb; do
	dpkg-deb -x "$deb" "$work/root"
done
chown -R root:root "$work/root"
chmod -R go-w,a+rX "$work/root"

libc=$(find "$work/root/usr/lib" -name libc.so.6 -print -quit)
loader=$(find "$(dirname "$libc")" -name 'ld-linux*.so.*' -print -quit)
[ -n "$loader" ] || die "the libraries of $suite are not where they are looked for"
inside() { echo "$root/root${1#"$work/root"}"; }
rm -rf "$root/root"
mkdir -p "$root"
mv "$work/root" "$root/root"
cat >"$wrapper.new" <<-END
	#!/bin/sh
	# Made by pgherd's scripts/pgbouncer.sh: PgBouncer of Debian $suite, with its own libraries.
	exec $(inside "$loader") --library-path $(inside "$(dirname "$libc")") --argv0 pgbouncer $root/root/usr/sbin/pgbouncer "\$@"
END
chmod 755 "$wrapper.new" "$root" "$(dirname "$wrapper")"
mv "$wrapper.new" "$wrapper"
"$wrapper" --version | head -1 >&2 || die "PgBouncer of $suite does not run here" "PGHERD_PGBOUNCER_SUITE=trixie scripts/pgbouncer.sh"

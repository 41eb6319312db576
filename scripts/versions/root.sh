#!/bin/bash
# Builds, once, a Debian forky root that holds several PostgreSQL majors side by side:
# 15 from bookworm's packages, 17 from trixie's, 18 from forky's. The root is made beside
# its place and renamed, so that an interrupted build is never taken for a whole one.
set -euo pipefail

root=$1
# The mirror of this machine; a place in the sed is "deb URI ..." or "URIs: URI".
mirror=${PGHERD_VERSIONS_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
	sed -nE 's#^(URIs:|deb( \[[^]]*\])?) *([^ ]*/debian)/?( .*)?$#\3#p' | head -1 || true)}
packages="postgresql-15 postgresql-17 postgresql-18"
recipe=$(cat "$0" <(echo "$mirror") | sha256sum)

say() { echo "versions: $*" >&2; }
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

if [ "$(cat "$root/etc/pgherd-versions" 2>/dev/null)" = "$recipe" ]; then
	exit 0
fi
[ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list*" "set PGHERD_VERSIONS_MIRROR"
if [ -e "$root" ] && [ ! -e "$root/etc/pgherd-versions" ]; then
	die "$root is there and is none of ours" "set PGHERD_VERSIONS_ROOT to another place"
fi
if ! command -v debootstrap >/dev/null; then
	say "installing debootstrap"
	apt-get -q update >&2
	DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends debootstrap </dev/null >&2
fi

new=$root.new
if grep -q " $new" /proc/mounts; then die "something is mounted below $new" "umount it"; fi
rm -rf --one-file-system "$new"
mkdir -p "$(dirname "$new")"

say "debootstrap of forky from $mirror"
# An older debootstrap has no script for forky; sid's is the same one.
debootstrap --variant=minbase forky "$new" "$mirror" /usr/share/debootstrap/scripts/sid >"$root.log" 2>&1 ||
	die "debootstrap failed" "see $root.log"

# Nothing starts by being installed, and no package makes a cluster.
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
# Signatures are checked; only the date of a lists file is not: a mirror that is a snapshot
# of the past is as good for this root, which serves nobody.
for suite in forky trixie bookworm; do
	echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$new/etc/apt/sources.list"
echo 'APT::Default-Release "forky";' >"$new/etc/apt/apt.conf.d/99versions"

inside() { chroot "$new" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" </dev/null >>"$root.log" 2>&1; }
trap 'umount "$new/proc" 2>/dev/null || true' EXIT
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
say "installing $packages"
inside apt-get -q update &&
	inside apt-get -qy install --no-install-recommends postgresql-common &&
	echo 'create_main_cluster = false' >>"$new/etc/postgresql-common/createcluster.conf" &&
	inside apt-get -qy install --no-install-recommends $packages &&
	inside apt-get clean || die "the packages could not be installed" "see $root.log"
umount "$new/proc"
trap - EXIT

# An old root goes only when nothing is mounted in it.
if [ -e "$root" ]; then
	if grep -q " $root/" /proc/mounts; then die "something is mounted below $root" "umount it"; fi
	rm -rf --one-file-system "$root"
fi
echo "$recipe" >"$new/etc/pgherd-versions"
mv "$new" "$root"

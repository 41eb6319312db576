#!/bin/bash
# Builds, once, a Debian forky root that holds several PostgreSQL majors side by side:
# 15 from bookworm's packages, 17 from trixie's, 18 from forky's. The root is made beside
# its place and renamed, so that an interrupted build is never taken for a whole one.
# Usage: root.sh ROOT
set -euo pipefail

root=$1 new=$1.new log=$1.log
majors="15 17 18"
# The mirror of this machine: "deb URI ..." or "URIs: URI".
mirror=${PGHERD_VERSIONS_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
	sed -nE 's#^(URIs:|deb( \[[^]]*\])?) *([^ ]*/debian)/?( .*)?$#\3#p' | head -1 || true)}
recipe=$(cat "$0" <(echo "$mirror") | sha256sum)

say() { echo "versions: $*" >&2; }
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

[ "$(cat "$root/etc/pgherd-versions" 2>/dev/null)" = "$recipe" ] && exit
[ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list*" "set PGHERD_VERSIONS_MIRROR"
if [ -e "$root" ] && [ ! -e "$root/etc/pgherd-versions" ]; then
	die "$root is there and was not made by this script" "set PGHERD_VERSIONS_ROOT to another place"
fi

# From here on with mounts and process numbers of our own: however this ends, the kernel
# takes away what was mounted and what still runs.
if [ -z "${versions_apart:-}" ]; then
	versions_apart=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
fi
if ! command -v debootstrap >/dev/null; then
	say "installing debootstrap"
	apt-get -q update >&2
	DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends debootstrap </dev/null >&2
fi
mkdir -p "$(dirname "$root")"
rm -rf --one-file-system "$new"

say "debootstrap of forky from $mirror (once; about two minutes in all)"
# An older debootstrap has no script for forky; sid's is the same one.
debootstrap --variant=minbase forky "$new" "$mirror" /usr/share/debootstrap/scripts/sid >"$log" 2>&1 ||
	die "debootstrap failed" "see $log"

# Nothing starts by being installed, and no package makes a cluster.
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
# Signatures are checked; only the date of the lists is not: a mirror that is a snapshot of
# the past is as good for this root, which serves nobody.
for suite in forky trixie bookworm; do
	echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$new/etc/apt/sources.list"
echo 'APT::Default-Release "forky";' >"$new/etc/apt/apt.conf.d/99versions"

inside() {
	chroot "$new" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		${http_proxy:+http_proxy="$http_proxy"} "$@" </dev/null >>"$log" 2>&1 || die "$* failed" "see $log"
}
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
inside apt-get -q update
inside apt-get -qy install --no-install-recommends postgresql-common
echo 'create_main_cluster = false' >>"$new/etc/postgresql-common/createcluster.conf"
for major in $majors; do
	say "installing PostgreSQL $major"
	inside apt-get -qy install --no-install-recommends "postgresql-$major"
done
inside apt-get clean
umount "$new/proc"

rm -rf --one-file-system "$root"
echo "$recipe" >"$new/etc/pgherd-versions"
mv "$new" "$root"

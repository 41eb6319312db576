#!/bin/bash
# Makes, once, the Debian root with PostgreSQL and PgBouncer that the container image is made of, and in which the units run
# under a real systemd (scripts/test-systemd.sh). It is made beside its place and renamed: an interrupted one
# is never taken for a whole one. About two minutes.
#
# Usage: scripts/image-root.sh   (as root) prints its path: $PGHERD_IMAGE_ROOT, or /var/lib/pgherd-image/SUITE
# PGHERD_IMAGE_SUITE: Debian's suite (default trixie: its PgBouncer is new enough); PGHERD_IMAGE_MIRROR
set -euo pipefail
suite=${PGHERD_IMAGE_SUITE:-trixie}
root=${PGHERD_IMAGE_ROOT:-/var/lib/pgherd-image/$suite} new=$root.new
mirror=${PGHERD_IMAGE_MIRROR:-http://deb.debian.org/debian}
recipe=$(cat "$0" <(echo "$suite $mirror") | sha256sum)
say() { echo "image: $*" >&2; }
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "this needs root, for debootstrap and chroot" "sudo -E env PATH=\"\$PATH\" make image"
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
if [ "$(cat "$root.recipe" 2>/dev/null)" = "$recipe" ] && [ -d "$root" ]; then echo "$root"; exit; fi
if [ -e "$root" ] && [ ! -e "$root.recipe" ]; then
	die "$root is there and was not made by this script" "set PGHERD_IMAGE_ROOT to another place"
fi
# From here on with mounts of our own: however this ends, the kernel takes away what was mounted.
if [ -z "${image_apart:-}" ]; then
	exec 9>&-
	image_apart=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
fi
if ! command -v debootstrap >/dev/null; then
	say "installing debootstrap"
	apt-get -q update >&2
	DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends debootstrap </dev/null >&2
fi
rm -rf --one-file-system "$root" "$root.recipe" "$new"
say "debootstrap of $suite from $mirror (once; about two minutes in all)"
debootstrap --variant=minbase "$suite" "$new" "$mirror" >"$root.log" 2>&1 || die "debootstrap failed" "see $root.log"

# Nothing starts by being installed, and no package makes a cluster; documents stay out of the image.
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
{
	printf 'path-exclude=/usr/share/%s/*\n' doc info locale lintian
	echo 'path-include=/usr/share/doc/*/copyright'
} >"$new/etc/dpkg/dpkg.cfg.d/99small"
inside() {
	chroot "$new" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		${http_proxy:+http_proxy="$http_proxy"} "$@" </dev/null >>"$root.log" 2>&1 || die "$* failed" "see $root.log"
}
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
say "installing PostgreSQL and PgBouncer"
inside apt-get -q update
inside apt-get -qy install --no-install-recommends ca-certificates postgresql-common
mkdir -p "$new/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = false' >"$new/etc/postgresql-common/createcluster.d/image.conf"
inside apt-get -qy install --no-install-recommends postgresql pgbouncer
inside apt-get clean
rm -rf "$new"/var/lib/apt/lists/* "$new/usr/sbin/policy-rc.d" "$new/etc/postgresql-common/createcluster.d/image.conf"
umount "$new/proc"
mv "$new" "$root"
echo "$recipe" >"$root.recipe"
echo "$root"

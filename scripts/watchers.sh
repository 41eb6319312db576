#!/bin/bash
# Puts two programs that were written to watch Patroni beside a Debian that has none of them (bookworm): check_patroni, for
# Nagios and its kin, and vip-manager 2 or newer. They come from a newer suite and are unpacked into a directory of their own;
# nothing is installed. apt checks Debian's signature, as for any package. Tests ask members with them.
#
# Usage: scripts/watchers.sh   (as root; scripts/deps.sh calls it)
set -euo pipefail

suite=trixie root=/var/lib/pgherd-watchers programs=/usr/local/lib/pgherd
packages=(check-patroni vip-manager2 python3-nagiosplugin python3-click python3-attr python3-requests python3-urllib3 python3-idna python3-certifi python3-chardet)
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || die "$keyring is missing" "apt-get install debian-archive-keyring"
command -v python3 >/dev/null || die "python3 is missing" "apt-get install python3"
mkdir -p "$programs"
exec 9>"$root.lock"
flock 9
if "$programs/check_patroni" --version >/dev/null 2>&1 && "$programs/vip-manager" --version >/dev/null 2>&1; then exit; fi # another was quicker

work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/debs "$work"/root
: >"$work/state/status"
echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$work/sources.list"
if id _apt >/dev/null 2>&1; then chown -R _apt "$work"; fi # it downloads, not root
apt=(-q -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache"
	-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
	-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
apt-get "${apt[@]}" update >&2
(cd "$work/debs" && apt-get "${apt[@]}" download "${packages[@]}" >&2)
for deb in "$work"/debs/*.deb; do
	dpkg-deb -x "$deb" "$work/root"
done
chown -R root:root "$work/root"
chmod -R go-w,a+rX "$work/root"
rm -rf "$root/root"
mkdir -p "$root"
mv "$work/root" "$root/root"
chmod 755 "$root"

wrap() { # NAME COMMAND...
	printf '#!/bin/sh\n# Made by pgherd'"'"'s scripts/watchers.sh: %s of Debian %s.\n%s "$@"\n' "$1" "$suite" "$2" >"$programs/$1.new"
	chmod 755 "$programs/$1.new"
	mv "$programs/$1.new" "$programs/$1"
	"$programs/$1" --version >&2 || die "$1 of $suite does not run here"
}
wrap check_patroni "PYTHONPATH=$root/root/usr/lib/python3/dist-packages exec python3 $root/root/usr/bin/check_patroni"
wrap vip-manager "exec $root/root/usr/bin/vip-manager"

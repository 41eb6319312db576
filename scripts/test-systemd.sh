#!/bin/bash
# Installs the deb as docs/quickstart.md says in a Debian root, and runs the unit under a real systemd there: start, agent
# killed and frozen, upgrade, removal. The machine's own systemd, if there is one, is not involved: this one is the first
# process of a namespace. As root; about two minutes when the root is there (scripts/image-root.sh).
#
# Usage: scripts/test-systemd.sh [PACKAGE.deb]   (default: it is made)
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }
say() { echo "systemd: $* ($SECONDS s)"; }
[ "$(id -u)" = 0 ] || die "this needs root, for namespaces and mounts" "sudo -E env PATH=\"\$PATH\" make test-systemd"

base=$(scripts/image-root.sh)
work=$(mktemp -d /var/lib/pgherd-systemd.XXXXXX)
cg=
cleanup() {
	if [ -n "${outer:-}" ]; then
		kill -9 "$outer" 2>/dev/null || true # and with it the whole namespace
		wait "$outer" 2>/dev/null || true
	fi
	for _ in $(seq 100); do
		[ -n "$cg" ] && [ -d "$cg" ] || break
		find "$cg" -depth -type d -exec rmdir {} \; 2>/dev/null || true
		sleep 0.1
	done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
mkdir -p "$work/pkg"
if [ -n "${1:-}" ]; then cp "$1" "$work/pkg/"; else scripts/dist.sh "$work/dist" 2>/dev/null && cp "$work"/dist/*.deb "$work/pkg/"; fi
deb=$(echo "$work"/pkg/pgherd_*.deb)

# The root is the image's, in a copy that goes when the namespace goes, with systemd and without PostgreSQL and PgBouncer: the text installs them.
cat >"$work/boot" <<'END'
set -euo pipefail
base=$1 work=$2
mkdir -p "$work/mnt"
mount -t tmpfs -o mode=755 tmpfs "$work/mnt"
mkdir "$work/mnt/upper" "$work/mnt/work" "$work/mnt/root"
mount -t overlay -o "lowerdir=$base,upperdir=$work/mnt/upper,workdir=$work/mnt/work" overlay "$work/mnt/root"
root=$work/mnt/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for d in null zero full random urandom tty; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/pkg"
mount --bind "$work/pkg" "$root/pkg"
cat "$work/preset" >"$root/etc/dpkg/dpkg.cfg.d/99test"
chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 bash -euc '
	printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	apt-get -q update
	apt-get -qy purge "postgresql*" pgbouncer
	apt-get -qy install --no-install-recommends systemd systemd-sysv procps
	rm /usr/sbin/policy-rc.d
	systemctl mask console-getty.service getty.target systemd-resolved.service systemd-networkd.service' >"$work/prepare.log" 2>&1
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=pgherd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console </dev/null
END
echo "force-unsafe-io" >"$work/preset"
say "the root gets systemd"
unified=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
[ -n "$unified" ] || die "no cgroup v2 is mounted here"
cg=$unified/pgherd-systemd-$$
mkdir "$cg"
bash -c 'echo $$ >"$0/cgroup.procs"; exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --cgroup bash "$1/boot" "$2" "$1"' "$cg" "$work" "$base" >"$work/boot.log" 2>&1 &
outer=$!
trouble() {
	tail -5 "$work/boot.log" "$work/prepare.log" >&2
	inside journalctl --no-pager -o cat -u pgherd -n 40 >&2 || true
	die "$1"
}
child() { pgrep -P "$(pgrep -P "$outer" -x unshare || echo "$outer")" | head -1; }
inside() { nsenter -t "$(child)" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
state=
for _ in $(seq 600); do
	kill -0 "$outer" 2>/dev/null || trouble "systemd did not start"
	state=$(inside systemctl is-system-running 2>/dev/null || true)
	case $state in running | degraded) break ;; esac
	sleep 0.5
done
case $state in running | degraded) ;; *) trouble "systemd is $state" ;; esac
say "systemd $(inside systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') is up"

# Step 1 of the quick start, as it is written.
step=$(sed -n '/^## 1\. /,/^## 2\. /{/^```sh$/,/^```$/{/^```/d;p}}' docs/quickstart.md)
inside bash -euc "cd /pkg; $step" >"$work/prepare.log" 2>&1 || trouble "step 1 of the quick start failed"
[ -z "$(inside sh -c 'ls /etc/postgresql/*/main 2>/dev/null')" ] || trouble "Debian's package has made a server of its own"
[ "$(inside systemctl is-active pgherd || true)" = inactive ] || trouble "the package has started something"
inside pgherd init --name n1 --address 127.0.0.1 >/dev/null
inside systemctl enable --now pgherd 2>/dev/null || trouble "the unit does not start"
inside pgherd wait --for writable --timeout 1m
say "installed by the text, started"

server() { inside head -1 /var/lib/pgherd/data/postmaster.pid; }
agent() { inside systemctl show -p MainPID --value pgherd; }
pid=$(server)
renewed() { # WHAT OLD: another agent, ready, above the same PostgreSQL
	for _ in $(seq 100); do
		[ "$(agent)" != "$2" ] && [ "$(inside systemctl is-active pgherd)" = active ] && break
		sleep 0.1
	done
	[ "$(agent)" != "$2" ] || trouble "$1: no new agent"
	inside pgherd wait --for writable --timeout 20s >/dev/null || trouble "$1: not writable"
	[ "$(server)" = "$pid" ] || trouble "$1: PostgreSQL was restarted"
	inside runuser -u postgres -- psql -h /var/lib/pgherd/run -XAtqc 'SELECT 1' >/dev/null || trouble "$1: PostgreSQL does not answer"
	inside nsenter -t "$pid" -m touch /tmp/still-there 2>/dev/null || inside sh -c "touch /proc/$pid/root/tmp/still-there" || trouble "$1: PostgreSQL's /tmp is gone"
	say "$1: PostgreSQL ran on"
}
old=$(agent); inside systemctl kill --kill-whom=main -s USR2 pgherd; renewed "systemctl kill -s USR2" "$old"
old=$(agent); inside kill -9 "$old"; renewed "kill -9 of the agent" "$old"
old=$(agent); inside dpkg -i "/pkg/$(basename "$deb")" >/dev/null 2>&1; renewed "upgrade of the package" "$old"
[ "$(inside systemctl show -p Result --value pgherd)" = success ] || trouble "the unit failed"
inside grep -q 'pgherd.service/pgherd-' "/proc/$pid/cgroup" || trouble "PostgreSQL has no control group of its own"
inside grep -q 'NoNewPrivs:.1' "/proc/$pid/status" || trouble "PostgreSQL may gain privileges"

# A frozen agent is ended by the watchdog, for which two seconds will do here.
inside bash -euc 'mkdir -p /run/systemd/system/pgherd.service.d; printf "[Service]\nWatchdogSec=2\n" >/run/systemd/system/pgherd.service.d/test.conf; systemctl daemon-reload'
old=$(agent); inside kill -USR2 "$old"; renewed "a shorter watchdog" "$old"
sleep 5
old=$(agent)
[ "$(inside systemctl show -p NRestarts --value pgherd)" -le 4 ] || trouble "the watchdog ended an agent that was well"
inside kill -STOP "$old"
for _ in $(seq 100); do [ "$(agent)" != "$old" ] && [ "$(agent)" != 0 ] && break; sleep 0.2; done
[ "$(agent)" != "$old" ] || trouble "a frozen agent was left frozen"
inside pgherd wait --for writable --timeout 30s >/dev/null || trouble "not writable after the freeze"
say "a frozen agent was ended by the watchdog"

inside apt-get -qy remove pgherd >/dev/null 2>&1 || trouble "removal failed"
[ -z "$(inside pgrep -x postgres || true)" ] || trouble "PostgreSQL runs on after the removal"
inside /usr/lib/postgresql/17/bin/pg_controldata /var/lib/pgherd/data | grep -q 'state: *shut down$' || trouble "PostgreSQL was not shut down cleanly"
inside test -e /etc/pgherd/pgherd.yaml || trouble "settings were deleted"
say "removed: PostgreSQL was shut down, its data are left"

#!/bin/bash
# Starts deploy/compose with Docker's engine of Debian's packages, kills the primary's container, stops one, kills an agent, and
# looks whether the cluster does what it should and has every row. The engine gets mounts, process numbers, a network and a
# directory of its own: whatever happens, nothing of it is left. As root; about four minutes with an image that is there.
#
# Usage: scripts/test-container.sh [IMAGE.tar]   (default: it is made)
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }
say() { echo "container: $* ($((SECONDS - began)) s)"; }
began=$SECONDS
[ "$(id -u)" = 0 ] || die "a container engine needs root" "sudo -E env PATH=\"\$PATH\" make test-container"

if [ -z "${container_apart:-}" ]; then
	if ! command -v dockerd >/dev/null || ! command -v docker-compose >/dev/null && ! docker compose version >/dev/null 2>&1; then
		echo "container: installing Docker's engine; it is not started" >&2
		apt-get -q update >&2
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends docker.io docker-compose iptables </dev/null >&2
	fi
	work=$(mktemp -d /var/lib/pgherd-docker.XXXXXX)
	groups=pgherd-container-$$
	cleanup() {
		find /sys/fs/cgroup/*/"$groups" /sys/fs/cgroup/"$groups" -depth -type d -exec rmdir {} \; 2>/dev/null || true
		rm -rf --one-file-system "$work"
	}
	trap cleanup EXIT
	image=${1:-}
	if [ -z "$image" ]; then
		image=$work/image.tar
		scripts/image.sh "$image"
		sums=$(cd "$work" && sha256sum image.tar image.cdx.json)
		scripts/image.sh "$image"
		[ "$(cd "$work" && sha256sum image.tar image.cdx.json)" = "$sums" ] || die "the same commit and root made another image, or another bill of materials"
	fi
	container_apart=$work groups=$groups unshare --mount --propagation private --pid --fork --kill-child --mount-proc --net --uts "$0" "$image"
	exit
fi

work=$container_apart
ip link set lo up
mount -t tmpfs tmpfs /run
export DOCKER_HOST=unix:///run/docker.sock COMPOSE_PROJECT_NAME=pgherd COMPOSE_FILE=$PWD/deploy/compose/compose.yaml
# --exec-opt: this machine's systemd, if there is one, knows nothing of this.
dockerd --data-root "$work/data" --exec-root /run/docker --pidfile /run/docker.pid -H "$DOCKER_HOST" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$groups" >"$work/dockerd.log" 2>&1 &
for _ in $(seq 300); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
docker version >/dev/null 2>&1 || { tail -20 "$work/dockerd.log" >&2; die "dockerd does not start"; }
compose() { if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi; }
container() { docker ps -aq --filter "label=com.docker.compose.service=$1"; }
at() { docker exec "$(container "$1")" "${@:2}"; }
trouble() {
	for n in n1 n2 n3; do echo "== $n" >&2; docker logs --tail 40 "$(container $n)" >&2 2>&1 || true; done
	die "$1"
}
sql() { at "$1" psql -h /var/lib/pgherd/run -XAtqc "$2"; }
leader() { at "$1" pgherd status --json | sed -n '/"name":/{s/.*: "\(.*\)".*/\1/;h};/"role": "primary"/{g;p}'; }
wait_for() { at "$1" pgherd wait --for "$2" --timeout "${3:-3m}" || trouble "$1 waited for $2 in vain"; }

docker load -q -i "$1"
compose up -d 2>&1 | tail -3
for n in n1 n2 n3; do
	for _ in $(seq 600); do at $n test -e /var/lib/pgherd/pgherd.yaml 2>/dev/null && break; sleep 0.2; done
	at $n test -e /var/lib/pgherd/pgherd.yaml || trouble "$n did not become a member"
done
wait_for n2 healthy
say "three containers are a cluster"
billed() { sed -n 's,^ *"purl": "pkg:deb/debian/\([^@]*\)@\([^?]*\)?arch=\([^&"]*\).*,\1 \2 \3,p' "$1" | sed 's/%2B/+/g' | sort; }
there=$(at n1 dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | sort)
[ "$(wc -l <<<"$there")" -gt 50 ] || die "dpkg knows next to nothing of what is in the image"
diff <(billed "${1%.tar}.cdx.json") <(echo "$there") || die "the bill of materials is not what is in the image"
say "the bill of materials names the image's $(wc -l <<<"$there") packages"
[ -z "$(docker top "$(container n1)" -eo pid,uid,cmd | awk 'NR > 1 && $2 == 0')" ] || trouble "something runs as root"

first=$(leader n2)
others=(n1 n2 n3); others=("${others[@]/$first/}"); read -r a b <<<"${others[*]}"
sql "$first" 'CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000)'
killed=$(date +%s%N)
docker kill "$(container "$first")" >/dev/null
at "$a" pgherd wait --for writable --timeout 1m >/dev/null || trouble "nobody leads"
until second=$(leader "$a") && [ -n "$second" ] && [ "$second" != "$first" ] && sql "$second" 'INSERT INTO kept VALUES (1001)' 2>/dev/null; do
	[ $(($(date +%s%N) - killed)) -lt 60000000000 ] || trouble "nobody leads after a minute"
	sleep 0.1
done
say "docker kill of the primary, $first: $second accepted a write after $((($(date +%s%N) - killed) / 1000000)) ms"
[ "$(sql "$second" 'SELECT count(*) FROM kept')" = 1001 ] || trouble "rows are missing"
at "$second" bash -c "time getent hosts $first" 2>&1 | grep -E "real|$first" || true
date -u -d "@$((killed / 1000000000))" "+killed at %T"; at "$second" pgherd events --limit 12

docker start "$(container "$first")" >/dev/null
wait_for "$second" healthy
say "$first is back"

# An agent that is killed is a new one a moment later, and PostgreSQL has not noticed.
server=$(at "$second" head -1 /var/lib/pgherd/data/postmaster.pid)
agent=$(at "$second" sh -c 'for p in /proc/[0-9]*; do case $(tr "\0" " " 2>/dev/null <$p/cmdline) in "/usr/bin/pgherd run "*) echo ${p#/proc/} ;; esac; done' 2>/dev/null)
at "$second" kill -9 "$agent"
sleep 2
wait_for "$second" "primary=$second" 20s
[ "$(at "$second" head -1 /var/lib/pgherd/data/postmaster.pid)" = "$server" ] || trouble "PostgreSQL was restarted with the agent"
at "$second" sh -c 'for s in /proc/[0-9]*/stat; do case "$(cat $s 2>/dev/null)" in *") Z "*) cat $s; exit 1 ;; esac; done' || trouble "a zombie is left"
say "the agent of $second was killed: PostgreSQL ran on, nothing is left over"

# docker stop is SIGTERM to the first process: the primary hands over.
docker stop -t 90 "$(container "$second")" >/dev/null
wait_for "$first" writable 30s
third=$(leader "$first")
[ "$third" != "$second" ] && [ -n "$third" ] || trouble "$second was stopped and leads still"
for _ in $(seq 50); do # the last line is written a tick after the move
	told=$(at "$first" pgherd events --limit 200 2>/dev/null | grep "switchover from $second to $third: done") && break
	sleep 0.2
done
echo "${told:?no event tells of the handover}"
docker logs --tail 5 "$(container "$second")" 2>&1 | tail -2
[ "$(docker inspect -f '{{.State.ExitCode}}' "$(container "$second")")" = 0 ] || trouble "$second did not end with 0"
[ "$(sql "$third" 'SELECT count(*) FROM kept')" = 1001 ] || trouble "rows are missing"
docker start "$(container "$second")" >/dev/null
wait_for "$third" healthy
at "$third" pgherd status
say "docker stop of $second: it handed over to $third; every row is there"
compose down -v -t 60 2>&1 | tail -1
kill "$(cat /run/docker.pid)"
wait || true
say "done"

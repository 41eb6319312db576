#!/bin/bash
# Makes the container image, without a container engine: a Debian root with PostgreSQL and PgBouncer from Debian's packages
# (scripts/image-root.sh), and above it a small layer with pgherd, as an archive that docker, podman and containerd load. Beside
# it goes its bill of materials (CycloneDX): Debian's packages and Go's modules. The same root and commit give the same bytes.
#
# Usage: scripts/image.sh [FILE.tar]   (as root; default bin/dist/pgherd_VERSION_image.tar; the bill is FILE.cdx.json)
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=-buildvcs=false CGO_ENABLED=0 TZ=UTC LC_ALL=C.UTF-8
umask 022
read -r version commit date < <(scripts/version.sh)
out=$(realpath -m "${1:-bin/dist/pgherd_${version}_image.tar}")
root=$(scripts/image-root.sh)
epoch=$(date -d "$date" +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")" "$work/layer/usr/bin" "$work/layer/var/lib" "$work/layer/run" "$work/image"

cli=github.com/pgherd/pgherd/internal/cli
go build -trimpath -ldflags "-s -w -buildid= -X $cli.version=$version -X $cli.commit=$commit -X $cli.date=$date" -o "$work/layer/usr/bin/pgherd" ./cmd/pgherd
install -m 755 deploy/container/entrypoint "$work/layer/usr/bin/pgherd-entrypoint"
# The mount points belong to the user, so that new volumes do, too.
IFS=: read -r _ _ uid gid _ < <(grep ^postgres: "$root/etc/passwd")
install -d -m 700 -o "$uid" -g "$gid" "$work/layer/var/lib/pgherd" "$work/layer/run/pgherd-join"

pack() { tar --sort=name --numeric-owner --mtime="@$epoch" --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -C "$1" "${@:3}" -cf "$2" .; }
if [ ! -e "$root.tar" ] || [ "$root.recipe" -nt "$root.tar" ]; then
	epoch=$(stat -c %Y "$root.recipe") pack "$root" "$root.tar.new" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
		--exclude='./var/cache/*' --exclude='./var/log/*' --exclude='./var/lib/apt/lists/*' --exclude='./tmp/*' --exclude='./debootstrap'
	mv "$root.tar.new" "$root.tar"
fi
ln -s "$root.tar" "$work/image/base.tar"
pack "$work/layer" "$work/image/pgherd.tar"
sum() { sha256sum "$1" | cut -d' ' -f1; }
cat >"$work/image/config.json" <<END
{
  "architecture": "$(go env GOARCH)", "os": "linux", "created": "$date",
  "config": {
    "User": "$uid:$gid", "WorkingDir": "/var/lib/pgherd", "StopSignal": "SIGTERM",
    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "PGHERD_CONFIG=/var/lib/pgherd/pgherd.yaml"],
    "Entrypoint": ["/usr/bin/pgherd-entrypoint"], "Cmd": null,
    "ExposedPorts": {"5432/tcp": {}, "6432/tcp": {}, "6433/tcp": {}, "7432/tcp": {}, "7433/tcp": {}, "7434/tcp": {}},
    "Volumes": {"/var/lib/pgherd": {}},
    "Labels": {"org.opencontainers.image.version": "$version", "org.opencontainers.image.revision": "$commit", "org.opencontainers.image.source": "https://github.com/pgherd/pgherd"}
  },
  "rootfs": {"type": "layers", "diff_ids": ["sha256:$(sum "$work/image/base.tar")", "sha256:$(sum "$work/image/pgherd.tar")"]},
  "history": [{"created": "$date", "created_by": "scripts/image-root.sh"}, {"created": "$date", "created_by": "scripts/image.sh"}]
}
END
# It belongs to this archive: both are there, or neither.
bill=${out%.tar}.cdx.json
rm -f "$out" "$bill"
go run ./scripts/bill -root "$root" -binary "$work/layer/usr/bin/pgherd" -version "v$version" -date "$date" >"$work/bill"
tag=${version//+/-} # a tag knows no +
echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"pgherd:$tag\", \"pgherd:latest\"], \"Layers\": [\"base.tar\", \"pgherd.tar\"]}]" >"$work/image/manifest.json"
tar --sort=name --numeric-owner --owner=0 --group=0 --mtime="@$epoch" -h -C "$work/image" -cf "$out" manifest.json config.json base.tar pgherd.tar
cp "$work/bill" "$bill"
echo "image: $out, pgherd:$tag, $(($(stat -c %s "$out") >> 20)) MB" >&2

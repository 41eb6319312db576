#!/bin/bash
# Makes what is handed out, in bin/dist: the deb, the rpm, an archive with the same files, the bill of materials (CycloneDX),
# and SHA256SUMS. The same commit and the same Go give the same bytes, wherever it is built: scripts/reproducible.sh.
#
# Usage: scripts/dist.sh [DIRECTORY]   (default bin/dist, which is made anew)
# GOARCH: another architecture than this machine's
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-bin/dist}")
export GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOOS=linux TZ=UTC LC_ALL=C.UTF-8
unset PGHERD_CONFIG
umask 022
die() { echo "error: $1" >&2; [ -n "${2:-}" ] && echo "hint: $2" >&2; exit 1; }
for tool in git gzip tar; do command -v $tool >/dev/null || die "$tool is missing" "install it"; done

read -r VERSION commit date < <(scripts/version.sh)
ARCH=${GOARCH:-$(go env GOARCH)}
SOURCE_DATE_EPOCH=$(date -d "$date" +%s)
export VERSION ARCH SOURCE_DATE_EPOCH
export MAINTAINER="pgherd developers <pgherd@localhost>"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "dist: $*" >&2; }

say "tools"
(unset GOARCH; go -C deploy/packages/tools build -trimpath -o "$work/tools/" tool; go build -trimpath -o "$work/tools/pages" ./scripts/pages)

say "pgherd $VERSION for $ARCH"
stage=$work/stage
mkdir -p "$stage/usr/bin" "$stage/usr/lib/systemd/system" "$stage/usr/share/man/man1" "$stage/usr/share/man/man5" "$stage/usr/share/doc/pgherd"
cli=github.com/pgherd/pgherd/internal/cli
GOARCH=$ARCH go build -trimpath -ldflags "-s -w -buildid= -X $cli.version=$VERSION -X $cli.commit=$commit -X $cli.date=$date" -o "$stage/usr/bin/pgherd" ./cmd/pgherd

say "man pages, completions, copyright"
"$work/tools/pages" -date "$date" -version "$VERSION" "$work/pages"
gzip -9n "$work"/pages/man/*
cp "$work"/pages/man/*.1.gz "$stage/usr/share/man/man1/"
cp "$work"/pages/man/*.5.gz "$stage/usr/share/man/man5/"
install -D -m 644 "$work/pages/completions/pgherd" "$stage/usr/share/bash-completion/completions/pgherd"
install -D -m 644 "$work/pages/completions/pgherd.fish" "$stage/usr/share/fish/vendor_completions.d/pgherd.fish"
install -D -m 644 "$work/pages/completions/_pgherd" "$work/stage-deb/usr/share/zsh/vendor-completions/_pgherd"
install -D -m 644 "$work/pages/completions/_pgherd" "$work/stage-rpm/usr/share/zsh/site-functions/_pgherd"
install -m 644 deploy/systemd/*.service "$stage/usr/lib/systemd/system/"
scripts/copyright.sh >"$stage/usr/share/doc/pgherd/copyright"
mkdir -p "$work/stage-deb/usr/share/doc/pgherd"
printf 'pgherd (%s) unstable; urgency=medium\n\n  * Built from commit %s.\n\n -- %s  %s\n' "$VERSION" "$commit" "$MAINTAINER" "$(date -R -d "@$SOURCE_DATE_EPOCH")" |
	gzip -9n >"$work/stage-deb/usr/share/doc/pgherd/changelog.gz"
cp -r deploy/packages/nfpm.yaml deploy/packages/createcluster.conf deploy/packages/scripts "$work/"
find "$work"/stage* "$work"/scripts "$work/createcluster.conf" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
chmod 755 "$stage/usr/bin/pgherd"

say "packages"
mkdir -p "$work/out"
for packager in deb rpm; do
	(cd "$work" && tools/nfpm package --config nfpm.yaml --packager $packager --target out/) >&2
done
tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --transform "s,^\./usr,pgherd-$VERSION," -cf - ./usr |
	gzip -9n >"$work/out/pgherd_${VERSION}_linux_$ARCH.tar.gz"
"$work/tools/cyclonedx-gomod" bin -json -noserial -std -version "v$VERSION" -output "$work/sbom" "$stage/usr/bin/pgherd" 2>/dev/null
sed "0,/\"timestamp\": \"[^\"]*\"/s//\"timestamp\": \"$date\"/" "$work/sbom" >"$work/out/pgherd_${VERSION}_linux_$ARCH.cdx.json"
(cd "$work/out" && sha256sum -- * >SHA256SUMS)

rm -rf "$out"
mkdir -p "$out"
cp "$work"/out/* "$out/"
ls -l "$out" >&2

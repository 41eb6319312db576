#!/bin/bash
# Runs a command in a root, with mounts and process numbers of its own: when it ends, or
# is killed, the kernel takes away everything that was mounted and everything that still
# runs there. The network is this machine's. Usage: inside.sh ROOT DIR COMMAND...; DIR is
# seen as /versions, read only.
set -euo pipefail
root=$1 dir=$2
shift 2
exec unshare --mount --propagation private --pid --fork --kill-child bash -euo pipefail -c '
	root=$1 dir=$2
	shift 2
	mkdir -p "$root/versions"
	mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
	mount -t tmpfs -o nosuid,nodev,mode=1777,size=4g tmp "$root/tmp"
	mount -t tmpfs -o nosuid,nodev,mode=1777 shm "$root/dev/shm"
	mount --bind "$dir" "$root/versions"
	mount -o remount,bind,ro "$root/versions"
	# Not exec: process 1 has to be one that reaps orphans, and a test binary does not.
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 "$@" </dev/null
' inside "$root" "$dir" "$@"

#!/bin/sh
# The base as a tar archive on standard output: debootstrap.sh SUITE MIRROR PACKAGE,…
# Made in memory, in a table of mounts of its own, so that it is gone however this ends.
set -eu
suite=$1 mirror=$2 packages=$3
[ -n "${KPLANE_UNSHARED-}" ] || KPLANE_UNSHARED=1 exec unshare --mount "$0" "$@"
mount -t tmpfs -o mode=0700,size=2g tmpfs /mnt
debootstrap --variant=minbase --include="$packages" "$suite" /mnt/root "$mirror" >&2
exec tar --numeric-owner -C /mnt/root -c \
  --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' \
  --exclude=./etc/resolv.conf --exclude=./etc/hostname .

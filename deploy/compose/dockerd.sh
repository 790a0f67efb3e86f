#!/bin/sh
# An engine in the namespaces that engine.py made for it: dockerd.sh FOLDER CGROUP. Its network has no way out.
set -eu
folder=$1 cgroup=$2
# Sockets and locks of the machine's own engines are out of sight, and these are out of theirs.
mount -t tmpfs -o mode=0755 tmpfs /run
ip link set lo up
exec dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" --exec-root "$folder/exec" \
  --pidfile "$folder/docker.pid" --cgroup-parent "$cgroup" --log-level warn

#!/bin/sh
# Be a node: join with the token the first time, and with the node's own identity ever after.
set -eu
if [ ! -e /var/lib/kplane/kubeconfig/kubelet.kubeconfig ]; then
  # shellcheck disable=SC2046 # words, written by bootstrap.sh
  set -- $(cat /join/arguments) --token-file /join/token "$@"
fi
exec kplane join --runtime containerd "$@"

#!/bin/sh
# Let nodes join: rights, cluster-info, and a token, which the workers find in /join; and let the metrics
# server in.
set -eu
umask 077
command=$(kplane init phase bootstrap-token --kubeconfig /etc/kplane/super-admin.conf \
  --token-ttl "$KPLANE_TOKEN_TTL" --description "docker-compose")
# kplane join HOST:PORT --token TOKEN --discovery-token-ca-cert-hash HASH
# shellcheck disable=SC2086 # words
set -- $command
address=$3 token=$5
shift 5
printf '%s\n' "$token" >/join/token.new
printf '%s\n' "$address $*" >/join/arguments.new
kplane init phase metrics-server --kubeconfig /etc/kplane/super-admin.conf \
  --metrics-server-address metrics-server:4443
mv /join/token.new /join/token
mv /join/arguments.new /join/arguments

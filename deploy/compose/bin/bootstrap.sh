#!/bin/sh
# Let nodes join: rights, cluster-info, and a token, which the workers find in /join.
set -eu
umask 077
command=$(kplane init phase bootstrap-token --kubeconfig /etc/kplane/super-admin.conf \
  --token-ttl "$KPLANE_TOKEN_TTL" --description "docker-compose")
printf '%s\n' "${command#kplane join }" >/join/arguments.new
mv /join/arguments.new /join/arguments

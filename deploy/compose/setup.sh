#!/usr/bin/env bash
# What `make compose-demo` and its test need beside deploy/setup.sh: Docker, docker-compose and debootstrap, from
# the distribution, where we are root. An engine that is installed is not started: the demo brings its own.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need dockerd docker.io
need docker docker.io
need docker-compose docker-compose
need debootstrap debootstrap
need unshare util-linux
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not root, or no apt-get: the cluster in containers lacks ${missing[*]}" >&2
  exit 0
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

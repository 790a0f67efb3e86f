#!/usr/bin/env bash
# Sets up what `make test`, `make check`, `make demo` and `make bench` need: system packages where we are
# root on a Debian-like machine, and a virtual environment with kplane installed for development.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
python=${PYTHON:-python3}

packages=(containerd runc containernetworking-plugins etcd-server etcd-client nftables iptables iproute2 conntrack
  busybox-static wrk curl util-linux bsdutils procps)

missing=()
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  "$python" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # A package's own service must not start: every cluster runs its own containerd and etcd.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
else
  echo "not root, or no apt-get: real containers will not be available, --runtime hollow will"
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kplane needs Python 3.11 or newer; set PYTHON" >&2; exit 1; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'

# Byte code of kplane itself (pip has made that of the rest), so that the first start is as quick as any.
"$venv/bin/python" -m compileall -q -j 0 kplane kplane/*/

# Clients that only tests use: node's, with node itself from the virtual environment, and an old kubectl beside
# (not before) the one on PATH.
mkdir -p "$venv/node"
if ! cmp -s tests/clients/node/package-lock.json "$venv/node/package-lock.json" || [ ! -d "$venv/node/node_modules" ]; then
  cp tests/clients/node/package.json tests/clients/node/package-lock.json "$venv/node/"
  PATH="$(cd "$venv/bin" && pwd):$PATH" npm ci --prefix "$venv/node" --omit=optional --no-audit --no-fund --loglevel=error
fi
old="$venv/kubectl-1.20"
if [ ! -x "$old/usr/bin/kubectl" ] && command -v apt-get >/dev/null; then
  fetched=$(mktemp -d)
  chmod 755 "$fetched"
  (cd "$fetched" && { apt-get download -qq kubernetes-client 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq kubernetes-client; }; })
  dpkg-deb -x "$fetched"/kubernetes-client_*.deb "$old"
  rm -r "$fetched"
fi

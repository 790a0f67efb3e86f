"""An address of this machine that is not loopback: the API refuses Pods and endpoints there."""

from __future__ import annotations

import atexit
import ipaddress
import os
import subprocess
from functools import cache

from kplane.apiserver.endpoints import host_address

BENCHMARKS = ipaddress.ip_network("198.18.0.0/15")
"""Addresses that are nobody's (RFC 2544)."""


@cache
def own_address() -> str:
    """The machine's own; one that only this process has, until it ends, where the machine has none (needs
    root)."""
    found = host_address()
    if not ipaddress.ip_address(found).is_loopback:
        return found
    made = str(BENCHMARKS[os.getpid() % (BENCHMARKS.num_addresses - 2) + 1])
    place = (f"{made}/32", "dev", "lo")
    subprocess.run(["ip", "address", "add", *place], check=True)
    atexit.register(subprocess.run, ["ip", "address", "delete", *place], check=False)
    return made

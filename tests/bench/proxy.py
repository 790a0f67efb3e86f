"""Time of nftables transactions, by kind of change, in a network namespace made for the purpose.

`python tests/bench/proxy.py` (as root) prints one line per figure.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence

from kplane.api.resource import Object
from kplane.api.types import EndpointSlice
from kplane.client.codec import codec, encode
from kplane.proxy.backend import Nftables
from kplane.proxy.nft import Commands
from kplane.proxy.nftables import Options
from kplane.proxy.plan import Ruleset, plan
from kplane.proxy.views import ProxiedService
from kplane.testing.objects import make_endpoint_slice, make_service

SERVICES = 1000
ENDPOINTS = 3


def objects(services: int) -> tuple[list[Object], list[Object]]:
    made = [
        make_service(f"s{number}", cluster_ip=f"10.96.{number // 250}.{number % 250 + 1}")
        for number in range(services)
    ]
    slices = [
        make_endpoint_slice(
            f"s{number}", addresses=[f"10.{number // 250}.{number % 250}.{n + 1}" for n in range(ENDPOINTS)]
        )
        for number in range(services)
    ]
    return made, slices


def planned(services: Sequence[Object], slices: Sequence[Object]) -> Ruleset:
    views = [codec(ProxiedService).one(encode(entry)) for entry in services]
    slice_views = [codec(EndpointSlice).one(encode(entry)) for entry in slices]
    began = time.perf_counter()
    rules = plan(views, slice_views, None, "node")
    report("plan", began)
    return rules


def report(what: str, began: float) -> None:
    elapsed = (time.perf_counter() - began) * 1000
    print(f"proxy: {what}, {SERVICES} services x {ENDPOINTS} endpoints: {elapsed:.0f} ms")


async def measure(prefix: Sequence[str]) -> None:
    services, slices = objects(SERVICES)
    full = planned(services, slices)
    slices[500]["endpoints"].pop()
    changed = planned(services, slices)
    backend = Nftables(Commands(prefix), Options("10.0.0.0/8"))
    for what, rules in (("first transaction", full), ("one endpoint less", changed), ("no change", changed)):
        began = time.perf_counter()
        await backend.sync(rules)
        report(what, began)


def main() -> None:
    if os.geteuid():
        print("proxy: not measured, because network namespaces need root")
        return
    name = f"kplane-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        asyncio.run(measure(["ip", "netns", "exec", name]))
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


if __name__ == "__main__":
    main()

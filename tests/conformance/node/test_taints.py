"""Taints that drive Pods away, after as long as each of them tolerates it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from ..api import Api, ready

KEY = "kubernetes.io/e2e-evict-taint-key"
TAINT = {"key": KEY, "value": "evictTaintVal", "effect": "NoExecute"}


@pytest_asyncio.fixture
async def node(api: Api) -> AsyncIterator[str]:
    name = str((await api.items("/api/v1/nodes"))[0]["metadata"]["name"])
    yield name
    await taint(api, name, taints=False)


async def taint(api: Api, node: str, *, taints: bool) -> None:
    def change(found: Any) -> None:
        others = [entry for entry in found["spec"].get("taints") or () if entry["key"] != KEY]
        found["spec"]["taints"] = others + ([TAINT] if taints else [])

    await api.change(f"/api/v1/nodes/{node}", change)


async def tolerant(api: Api, core: str, name: str, node: str, seconds: int) -> None:
    toleration = {
        "key": KEY, "operator": "Equal", "value": "evictTaintVal", "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }  # fmt: skip
    spec = {
        "containers": [{"name": "c", "image": "web:1"}],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "terminationGracePeriodSeconds": 0,
        "tolerations": [toleration],
    }
    await api.make(f"{core}/pods", {"metadata": {"name": name}, "spec": spec})
    await api.until(f"{core}/pods/{name}", ready)


async def test_pods_leave_as_soon_as_each_tolerates_no_longer(api: Api, core: str, node: str) -> None:
    await tolerant(api, core, "short", node, 1)
    await tolerant(api, core, "long", node, 300)

    await taint(api, node, taints=True)

    await api.until_gone(f"{core}/pods/short")
    assert ready(await api.get(f"{core}/pods/long"))


async def test_taint_that_goes_in_time_drives_nobody_away(api: Api, core: str, node: str) -> None:
    await tolerant(api, core, "patient", node, 2)
    await taint(api, node, taints=True)
    await taint(api, node, taints=False)

    # By the time that these have gone one after the other, the first one's would be over.
    for name in ("one", "two"):
        await tolerant(api, core, name, node, 1)
        await taint(api, node, taints=True)
        await api.until_gone(f"{core}/pods/{name}")
        await taint(api, node, taints=False)

    assert ready(await api.get(f"{core}/pods/patient"))

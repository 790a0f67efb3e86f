"""APIServices of custom resources, across a restart."""

from __future__ import annotations

import asyncio

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api
from .conftest import SERVICES, because, condition

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "v1.shop.example.com"
SCHEMA = {"openAPIV3Schema": {"type": "object"}}
DEFINITION = {
    "metadata": {"name": "orders.shop.example.com"},
    "spec": {
        "group": "shop.example.com",
        "names": {"plural": "orders", "kind": "Order"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": SCHEMA}],
    },
}


async def test_definitions_that_come_stay_and_go(lasting: ApiServerConfig) -> None:
    async with ApiServer(lasting) as server:
        api = Api(server.app)
        await api.make(CRDS, DEFINITION)
        await condition(api, because("Local"), NAME)
        uid = (await api("GET", f"{SERVICES}/{NAME}")).body["metadata"]["uid"]

    async with ApiServer(lasting) as server:
        api = Api(server.app)
        kept = (await api("GET", f"{SERVICES}/{NAME}")).body
        await api("DELETE", f"{CRDS}/orders.shop.example.com")
        async with asyncio.timeout(30):
            while (await api("GET", f"{SERVICES}/{NAME}")).code != 404:
                await asyncio.sleep(0)

    assert kept["metadata"]["uid"] == uid
    assert kept["spec"]["groupPriorityMinimum"] == 1000

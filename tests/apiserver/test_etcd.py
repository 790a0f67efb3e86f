"""Two servers on one etcd: the same cluster through either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.testing.etcd import Etcd
from kplane.testing.waiting import eventually

from .conftest import Api, configmap

pytestmark = pytest.mark.slow

MAPS = "/api/v1/namespaces/default/configmaps"
KUBERNETES = "/api/v1/namespaces/default/endpoints/kubernetes"


@pytest.fixture
async def shared(config: ApiServerConfig) -> AsyncIterator[ApiServerConfig]:
    async with Etcd() as etcd:
        yield replace(config, storage_dir=None, etcd_servers=(etcd.url,))


async def test_what_one_server_acknowledged_the_other_shows(shared: ApiServerConfig) -> None:
    async with ApiServer(shared) as one, ApiServer(shared) as other:
        made = await Api(one.app).make(MAPS, configmap())
        seen = await Api(other.app)("GET", f"{MAPS}/settings")
        changed = await Api(other.app)("PUT", f"{MAPS}/settings", made | {"data": {"color": "red"}})
        stale = await Api(one.app)("PUT", f"{MAPS}/settings", made | {"data": {"color": "green"}})
        listed = await Api(one.app)("GET", MAPS)

    assert seen.body == made
    assert (changed.code, stale.code) == (200, 409)
    assert listed.body["items"][0]["data"] == {"color": "red"}


async def test_every_server_that_runs_is_an_endpoint(shared: ApiServerConfig) -> None:
    first = replace(shared, advertise_address="192.0.2.1")
    second = replace(shared, advertise_address="192.0.2.2")

    async with ApiServer(first) as one:
        api = Api(one.app)

        async def addresses() -> list[str]:
            found = (await api("GET", KUBERNETES)).body.get("subsets") or [{"addresses": []}]
            return [entry["ip"] for entry in found[0]["addresses"]]

        async def are(wanted: list[str]) -> bool:
            return await addresses() == wanted

        one.advertise(6443)
        await eventually(lambda: are(["192.0.2.1"]))
        async with ApiServer(second) as two:
            two.advertise(6443)
            await eventually(lambda: are(["192.0.2.1", "192.0.2.2"]))
        await eventually(lambda: are(["192.0.2.1"]))

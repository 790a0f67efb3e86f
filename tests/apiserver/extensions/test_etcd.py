"""Two servers on one etcd serve the same custom resources, and a new one those that are there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.testing.etcd import Etcd
from kplane.testing.waiting import eventually

from ..conftest import Api
from .conftest import CRDS, WIDGETS, crd, established, widget

pytestmark = pytest.mark.slow


@pytest.fixture
async def shared(config: ApiServerConfig) -> AsyncIterator[ApiServerConfig]:
    async with Etcd() as etcd:
        yield replace(config, storage_dir=None, etcd_servers=(etcd.url,))


async def answers(api: Api, path: str, code: int) -> None:
    async def check() -> bool:
        return (await api("GET", path)).code == code

    await eventually(check)


async def test_every_server_serves_what_one_was_told(shared: ApiServerConfig) -> None:
    async with ApiServer(shared) as first, ApiServer(shared) as second:
        one, other = Api(first.app), Api(second.app)
        await one.make(CRDS, crd())
        await established(one)
        await answers(other, WIDGETS, 200)
        made = await other.make(WIDGETS, widget())

        assert (await one("GET", f"{WIDGETS}/one")).body == made

        async with ApiServer(shared) as third:
            # Established definitions are served from a server's first moment.
            assert (await Api(third.app)("GET", f"{WIDGETS}/one")).body == made

        await other("DELETE", f"{CRDS}/widgets.example.com")
        await answers(one, WIDGETS, 404)
        await answers(other, WIDGETS, 404)
        await answers(other, f"{CRDS}/widgets.example.com", 404)


async def test_of_two_rivals_for_a_name_one_is_served(shared: ApiServerConfig) -> None:
    async with ApiServer(shared) as first, ApiServer(shared) as second:
        one, other = Api(first.app), Api(second.app)
        await one.make(CRDS, crd())
        await established(one)
        await other.make(CRDS, crd(plural="gadgets", kind="Widget"))

        async def refused() -> bool:
            body = (await one("GET", f"{CRDS}/gadgets.example.com")).body
            conditions = body["status"].get("conditions") or ()
            return any((entry["type"], entry["status"]) == ("NamesAccepted", "False") for entry in conditions)

        await eventually(refused)
        assert (await other("GET", "/apis/example.com/v1/gadgets")).code == 404

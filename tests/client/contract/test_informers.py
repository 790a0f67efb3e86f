"""Informers against the fake and against the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import BadRequest
from kplane.api.types import ConfigMap
from kplane.client.informer import Informer
from kplane.client.rest import Client


class Follower:
    """An informer on ConfigMaps, and a way to wait for what it holds."""

    def __init__(self, client: Client) -> None:
        self.informer = Informer(client, ConfigMap, clock=SystemClock(), entropy=Entropy(), namespace="team")
        self.told: list[str] = []
        self._changed = asyncio.Event()
        self.informer.on_change(self._note)

    def names(self) -> list[str]:
        return sorted(found.metadata.name for found in self.informer.list())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _note(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        what = "added" if old is None else "changed" if new is not None else "deleted"
        self.told.append(f"{what} {(new or old).metadata.name}")  # type: ignore[union-attr]
        self._changed.set()


@asynccontextmanager
async def following(client: Client) -> AsyncIterator[Follower]:
    follower = Follower(client)
    task = asyncio.create_task(follower.informer.run())
    try:
        await follower.informer.wait_synced()
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(autouse=True)
async def namespace(client: Client) -> None:
    await client.raw(
        "POST",
        "/api/v1/namespaces",
        body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}},
    )


async def create(client: Client, name: str) -> ConfigMap:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return await client.create(ConfigMap, body, "team")


async def test_cache_follows_creations_changes_and_deletions(client: Client) -> None:
    await create(client, "before")
    async with following(client) as follower:
        await create(client, "web")
        await follower.until(lambda: follower.names() == ["before", "web"])
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "team"}}
        changed = await client.update(ConfigMap, body | {"data": {"a": "b"}})
        await follower.until(lambda: follower.informer.get(changed.key) == changed)
        await client.delete(ConfigMap, "before", "team")
        await follower.until(lambda: follower.names() == ["web"])

    assert follower.told == ["added before", "added web", "changed web", "deleted before"]


async def test_revision_reaches_that_of_the_newest_write(client: Client) -> None:
    async with following(client) as follower:
        made = await create(client, "web")
        await follower.until(lambda: bool(follower.names()))

        assert int(follower.informer.resource_version) >= int(made.metadata.resource_version)


async def test_unreadable_selector_is_a_bad_request(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.list(ConfigMap, label_selector="a in (")

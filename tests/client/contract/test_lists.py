"""Lists and watches: the same answers from the fake and from the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kplane.api.types import ConfigMap
from kplane.client.rest import Client, WatchEvent


def configmap(name: str, namespace: str = "default", **labels: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def names(client: Client, **options: str) -> list[str]:
    return [found.metadata.name for found in (await client.list(ConfigMap, "default", **options)).items]  # type: ignore[arg-type]


async def relabel(client: Client, name: str, **labels: str | None) -> None:
    await client.patch(ConfigMap, name, "default", {"metadata": {"labels": labels}})


@asynccontextmanager
async def watching(client: Client, **options: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(client, options)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.wait([task])


class Watcher:
    """Collects the events of one watch on ConfigMaps."""

    def __init__(self, client: Client, options: dict[str, str]) -> None:
        self._client = client
        self._options = options
        self._events: asyncio.Queue[WatchEvent[ConfigMap]] = asyncio.Queue()

    async def run(self) -> None:
        async for event in self._client.watch(ConfigMap, "default", bookmarks=False, **self._options):  # type: ignore[arg-type]
            self._events.put_nowait(event)

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(30):
            event = await self._events.get()
        assert event.object is not None
        return event.type, event.object.metadata.name


async def test_list_is_ordered_by_name_and_selected_by_labels(client: Client) -> None:
    for name, tier in (("c", "front"), ("a", "back"), ("b", "front")):
        await client.create(ConfigMap, configmap(name, tier=tier))

    assert await names(client, label_selector="tier") == ["a", "b", "c"]
    assert await names(client, label_selector="tier=front") == ["b", "c"]
    assert await names(client, label_selector="tier in (back,middle)") == ["a"]
    assert await names(client, field_selector="metadata.name=b") == ["b"]


async def test_empty_list_has_a_revision(client: Client) -> None:
    found = await client.list(ConfigMap, "default", label_selector="none=such")

    assert list(found.items) == []
    assert int(found.resource_version) > 0


async def test_pages_join_to_the_whole(client: Client) -> None:
    expected = [f"part-{number}" for number in range(5)]
    for name in expected:
        await client.create(ConfigMap, configmap(name, kind="part"))

    found: list[str] = []
    token = ""
    while True:
        page = await client.list(
            ConfigMap, "default", label_selector="kind=part", limit=2, continue_token=token
        )
        found += [item.metadata.name for item in page.items]
        assert len(page.items) <= 2
        token = page.continue_token
        if not token:
            break

    assert found == expected


async def test_watch_tells_every_change_after_a_revision(client: Client) -> None:
    await client.create(ConfigMap, configmap("before"))
    start = (await client.list(ConfigMap, "default")).resource_version
    await client.create(ConfigMap, configmap("web"))

    async with watching(client, resource_version=start) as events:
        assert await events.next() == ("ADDED", "web")
        await relabel(client, "web", colour="red")
        assert await events.next() == ("MODIFIED", "web")
        await client.delete(ConfigMap, "web", "default")
        assert await events.next() == ("DELETED", "web")


async def test_watch_from_nothing_begins_with_what_is_there(client: Client) -> None:
    await client.create(ConfigMap, configmap("web", app="web"))

    async with watching(client, label_selector="app=web") as events:
        assert await events.next() == ("ADDED", "web")
        await relabel(client, "web", colour="red")
        assert await events.next() == ("MODIFIED", "web")


async def test_objects_enter_and_leave_a_selective_watch(client: Client) -> None:
    start = (await client.list(ConfigMap, "default")).resource_version

    async with watching(client, resource_version=start, label_selector="colour=red") as events:
        await client.create(ConfigMap, configmap("web", colour="blue"))
        await relabel(client, "web", colour="red")
        assert await events.next() == ("ADDED", "web")
        await relabel(client, "web", size="big")
        assert await events.next() == ("MODIFIED", "web")
        await relabel(client, "web", colour="green")
        assert await events.next() == ("DELETED", "web")


async def test_deletion_event_carries_the_revision_of_the_deletion(client: Client) -> None:
    made = await client.create(ConfigMap, configmap("web"))
    await client.delete(ConfigMap, "web", "default")

    async for event in client.watch(
        ConfigMap, "default", resource_version=made.metadata.resource_version, bookmarks=False
    ):
        assert event.type == "DELETED"
        assert int(event.resource_version) > int(made.metadata.resource_version)
        break


async def test_consumer_that_leaves_a_watch_leaves_the_client_usable(client: Client) -> None:
    await client.create(ConfigMap, configmap("web"))

    async for _ in client.watch(ConfigMap, "default"):
        break

    assert "web" in await names(client)


async def test_deletion_of_a_collection_keeps_to_the_selector(client: Client) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        await client.create(ConfigMap, configmap(name, tier=tier))

    path = ConfigMap.API.path("default")
    await client.raw("DELETE", path, query={"labelSelector": "tier=front"})

    assert await names(client, label_selector="tier") == ["b"]

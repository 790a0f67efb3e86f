"""Watches: what is said, in which order, and from where on."""

from __future__ import annotations

import asyncio
from typing import Any

from .api import Api, Watch


def labelled(name: str, label: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"watch-this-configmap": label}}}


async def spoken(watch: Watch, count: int) -> list[tuple[str, str, str]]:
    events = [await watch.next() for _ in range(count)]
    return [(event.type, event.name, event.object.get("data", {}).get("mutation", "")) for event in events]


async def test_each_watch_hears_of_those_that_its_selector_matches(api: Api, core: str) -> None:
    maps = f"{core}/configmaps"
    either = "watch-this-configmap in (a,b)"
    async with (
        api.watch(maps, labelSelector="watch-this-configmap=a") as of_a,
        api.watch(maps, labelSelector="watch-this-configmap=b") as of_b,
        api.watch(maps, labelSelector=either) as of_both,
    ):
        await api.make(maps, labelled("a", "a"))
        for step in "12":
            await api.patch(f"{maps}/a", {"data": {"mutation": step}})
        await api.delete(f"{maps}/a")
        await api.make(maps, labelled("b", "b"))
        await api.delete(f"{maps}/b")

        a = [("ADDED", "a", ""), ("MODIFIED", "a", "1"), ("MODIFIED", "a", "2"), ("DELETED", "a", "2")]
        b = [("ADDED", "b", ""), ("DELETED", "b", "")]
        assert await spoken(of_a, 4) == a
        assert await spoken(of_b, 2) == b
        assert await spoken(of_both, 6) == a + b
        assert await of_a.silent()


async def test_watch_from_a_revision_tells_what_came_after_it(api: Api, core: str) -> None:
    maps = f"{core}/configmaps"
    await api.make(maps, labelled("m", "from"))
    first = await api.patch(f"{maps}/m", {"data": {"mutation": "1"}})
    await api.patch(f"{maps}/m", {"data": {"mutation": "2"}})
    await api.delete(f"{maps}/m")

    since = first["metadata"]["resourceVersion"]
    async with api.watch(maps, labelSelector="watch-this-configmap=from", resourceVersion=since) as watch:
        assert await spoken(watch, 2) == [("MODIFIED", "m", "2"), ("DELETED", "m", "2")]


async def test_watch_goes_on_where_another_one_ended(api: Api, core: str) -> None:
    maps = f"{core}/configmaps"
    query = {"labelSelector": "watch-this-configmap=again"}
    async with api.watch(maps, **query) as watch:
        await api.make(maps, labelled("m", "again"))
        await api.patch(f"{maps}/m", {"data": {"mutation": "1"}})
        await watch.until("ADDED")
        last = await watch.until("MODIFIED")
    await api.patch(f"{maps}/m", {"data": {"mutation": "2"}})
    await api.delete(f"{maps}/m")

    async with api.watch(maps, **query, resourceVersion=last["metadata"]["resourceVersion"]) as watch:
        assert await spoken(watch, 2) == [("MODIFIED", "m", "2"), ("DELETED", "m", "2")]


async def test_what_stops_matching_is_deleted_for_the_watcher_and_added_when_it_matches_again(
    api: Api, core: str
) -> None:
    maps = f"{core}/configmaps"
    async with api.watch(maps, labelSelector="watch-this-configmap=here") as watch:
        await api.make(maps, labelled("m", "here"))
        await api.patch(f"{maps}/m", {"data": {"mutation": "1"}})
        away = await api.patch(f"{maps}/m", {"metadata": {"labels": {"watch-this-configmap": "away"}}})
        await api.patch(f"{maps}/m", {"data": {"mutation": "2"}})
        await api.patch(f"{maps}/m", {"metadata": {"labels": {"watch-this-configmap": "here"}}})
        await api.patch(f"{maps}/m", {"data": {"mutation": "3"}})
        await api.delete(f"{maps}/m")

        assert await spoken(watch, 2) == [("ADDED", "m", ""), ("MODIFIED", "m", "1")]
        left = await watch.next()
        assert left.type == "DELETED"
        assert left.object["metadata"]["labels"] == {"watch-this-configmap": "here"}
        assert left.object["metadata"]["resourceVersion"] == away["metadata"]["resourceVersion"]
        assert await spoken(watch, 3) == [("ADDED", "m", "2"), ("MODIFIED", "m", "3"), ("DELETED", "m", "3")]


async def test_watches_from_different_revisions_agree_on_the_order(api: Api, core: str) -> None:
    """Each watch starts at an event that an earlier one has seen, while objects come, change and go."""
    maps = f"{core}/configmaps"
    since = (await api.get(maps))["metadata"]["resourceVersion"]

    async def busy() -> None:
        for number in range(20):
            await api.make(maps, {"metadata": {"name": f"m-{number}"}})
            await api.patch(f"{maps}/m-{number}", {"data": {"mutation": "1"}})
            await api.delete(f"{maps}/m-{number}")

    async with api.watch(maps, resourceVersion=since) as first, asyncio.TaskGroup() as group:
        group.create_task(busy())
        seen = [(await first.next()).object["metadata"]["resourceVersion"] for _ in range(60)]

    async def heard(start: int) -> list[str]:
        async with api.watch(maps, resourceVersion=seen[start]) as watch:
            return [
                (await watch.next()).object["metadata"]["resourceVersion"]
                for _ in range(len(seen) - start - 1)
            ]

    starts = range(0, 60, 7)
    for start, later in zip(starts, await asyncio.gather(*map(heard, starts)), strict=True):
        assert later == seen[start + 1 :]

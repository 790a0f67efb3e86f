"""Discovery and OpenAPI with an extension server among our own groups."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Api
from .conftest import NAME, SERVICES, apiservice, because, condition, join
from .extension import AGGREGATED, GROUP, ROOT, VERBS, Extension, extension


async def groups(api: Api) -> list[str]:
    return [group["name"] for group in (await api("GET", "/apis")).body["groups"]]


async def aggregated(api: Api) -> dict[str, Any]:
    answer = await api("GET", "/apis", accept=AGGREGATED)
    assert answer.headers["content-type"] == AGGREGATED
    return {item["metadata"]["name"]: item["versions"] for item in answer.body["items"]}


async def until_current(api: Api, freshness: str = "Current") -> Any:
    """The extension's version once it is this fresh: discovery is fetched behind the condition."""
    async with asyncio.timeout(10):
        while True:
            found = (await aggregated(api)).get(GROUP)
            if found and found[0]["freshness"] == freshness:
                return found
            await asyncio.sleep(0)


@pytest.mark.parametrize("knows_aggregated", [True, False])
async def test_resources_appear_in_aggregated_discovery(
    api: Api, tmp_path: Path, knows_aggregated: bool
) -> None:
    async with extension(tmp_path / "ext", aggregated=knows_aggregated) as server:
        await join(api, server)
        versions = await until_current(api)

    resource = versions[0]["resources"][0]
    assert (versions[0]["version"], resource["resource"], resource["verbs"]) == ("v1", "flowers", VERBS)
    assert resource["responseKind"]["kind"] == "Flower"
    if not knows_aggregated:
        kind = {"group": GROUP, "version": "v1", "kind": "Flower"}
        assert resource["subresources"] == [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]


@pytest.mark.parametrize(
    ("priority", "before", "after"),
    [
        pytest.param(2000, "storagemigration.k8s.io", None, id="behind-the-built-in"),
        pytest.param(17250, "certificates.k8s.io", "networking.k8s.io", id="among-them"),
    ],
)
async def test_groups_stand_in_the_order_of_their_priorities(
    api: Api, tmp_path: Path, priority: int, before: str, after: str | None
) -> None:
    async with extension(tmp_path / "ext") as server:
        own = await groups(api)
        await join(api, server, groupPriorityMinimum=priority)
        found = await groups(api)
        group = await api("GET", f"/apis/{GROUP}")

    place = found.index(GROUP)
    assert [name for name in found if name != GROUP] == own
    assert found[place - 1] == before
    assert found[place + 1 : place + 2] == ([after] if after else [])
    assert list(await aggregated(api)) == found
    assert group.body["preferredVersion"] == {"groupVersion": f"{GROUP}/v1", "version": "v1"}


async def test_a_server_that_fell_ill_is_stale(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        await until_current(api)
        server.healthy = False
        await look_again(api, server)
        await condition(api, because("FailedDiscoveryCheck"))
        versions = await until_current(api, "Stale")

    assert versions[0]["resources"][0]["resource"] == "flowers"
    assert GROUP not in await groups(api)
    assert (await api("GET", f"/apis/{GROUP}")).code == 404


async def look_again(api: Api, server: Extension) -> None:
    """A change of the Service's endpoints is a reason to look."""
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/flowers-1"
    body = b'{"metadata":{"annotations":{"changed":"yes"}}}'
    answer = await api("PATCH", path, body, content_type="application/merge-patch+json")
    assert answer.code == 200


async def test_a_server_never_seen_is_stale_and_empty(api: Api) -> None:
    await api.make(SERVICES, apiservice())
    await condition(api, because("ServiceNotFound"))

    assert (await aggregated(api))[GROUP] == [{"version": "v1", "freshness": "Stale"}]


async def test_openapi_v3_is_asked_from_the_server(api: Api, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        await until_current(api)
        index = await api("GET", "/openapi/v3")
        schema = await api("GET", f"/openapi/v3{ROOT}")

    assert index.body["paths"][ROOT[1:]] == {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=ABC"}
    assert "apis/apps/v1" in index.body["paths"]
    assert schema.body["info"]["title"] == "flowers"


@pytest.mark.slow
async def test_openapi_v2_is_one_document(api: Api, tmp_path: Path) -> None:
    time = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
    async with extension(tmp_path / "ext") as server:
        own = (await api("GET", "/openapi/v2")).body
        await join(api, server)
        await until_current(api)
        merged = (await api("GET", "/openapi/v2")).body

    assert set(merged["paths"]) - set(own["paths"]) == {f"{ROOT}/flowers"}
    added = set(merged["definitions"]) - set(own["definitions"])
    assert added == {"com.example.Flower", f"{time}_v2"}
    picked = merged["definitions"]["com.example.Flower"]["properties"]["picked"]
    assert picked == {"$ref": f"#/definitions/{time}_v2"}
    assert merged["definitions"][time] == own["definitions"][time]


async def test_without_the_service_everything_is_as_before(api: Api, tmp_path: Path) -> None:
    own = await api("GET", "/apis")
    async with extension(tmp_path / "ext") as server:
        await join(api, server)
        await until_current(api)
        await api("DELETE", f"{SERVICES}/{NAME}")

    assert (await api("GET", "/apis")).headers["etag"] == own.headers["etag"]

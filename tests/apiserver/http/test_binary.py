"""Answers in protobuf, for clients that take nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kplane.api import protobuf
from kplane.api.resource import Object
from kplane.apiserver.http import binary

from ..conftest import Api, configmap, deployment, pod

PROTOBUF = "application/vnd.kubernetes.protobuf"
PARTIAL = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TABLE = f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1"
MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def shown(value: Any) -> Any:
    """Without what Go shows of fields that are not set."""
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items() if part not in (None, {}, [], "", 0, False)}
    return [shown(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("path", "made"),
    [
        pytest.param(MAPS, configmap(), id="configmap"),
        pytest.param(PODS, pod(), id="pod"),
        pytest.param(DEPLOYMENTS, deployment(), id="deployment"),
    ],
)
async def test_an_object_is_the_same_in_either_form(api: Api, path: str, made: Object) -> None:
    created = await api("POST", path, made, accept=PROTOBUF)
    name = made["metadata"]["name"]

    read = await api("GET", f"{path}/{name}", accept=PROTOBUF)
    listed = await api("GET", path, accept=PROTOBUF)

    in_json = (await api("GET", f"{path}/{name}")).body
    assert (created.code, read.code) == (201, 200)
    assert read.headers["content-type"] == PROTOBUF
    assert created.body == read.body
    assert shown(binary.read(read.body)) == shown(in_json)
    assert shown(binary.read(listed.body)) == shown((await api("GET", path)).body)


async def test_a_list_of_many_is_whole(api: Api) -> None:
    for number in range(130):
        await api.make(MAPS, configmap(f"n{number:03}"))

    found = binary.read((await api("GET", MAPS, accept=PROTOBUF)).body)

    assert found["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in found["items"]] == [f"n{number:03}" for number in range(130)]
    yaml = (await api("GET", MAPS, accept="application/yaml")).body
    assert yaml.count(b"\n- metadata:") == 130


async def test_an_empty_list_says_how_far_it_is(api: Api) -> None:
    found = binary.read((await api("GET", MAPS, accept=PROTOBUF)).body)

    assert int(found["metadata"]["resourceVersion"]) > 0
    assert not found["items"]


async def test_a_failure_is_a_status(api: Api) -> None:
    answer = await api("GET", f"{MAPS}/nothing", accept=PROTOBUF)

    status = binary.read(answer.body)
    assert (answer.code, answer.headers["content-type"]) == (404, PROTOBUF)
    assert (status["kind"], status["reason"], status["details"]["name"]) == ("Status", "NotFound", "nothing")


async def test_metadata_alone_has_a_form_for_every_resource(api: Api) -> None:
    await api.make(MAPS, configmap())

    one = binary.read((await api("GET", f"{MAPS}/settings", accept=PARTIAL)).body)
    many = binary.read((await api("GET", MAPS, accept=PARTIAL_LIST)).body)

    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert one["metadata"]["name"] == many["items"][0]["metadata"]["name"] == "settings"


@pytest.mark.parametrize("accept", [f"{PROTOBUF},application/json", f"{PROTOBUF}, */*"])
async def test_who_takes_json_as_well_gets_the_stored_bytes(api: Api, accept: str) -> None:
    made = await api.make(MAPS, configmap())

    answer = await api("GET", f"{MAPS}/settings", accept=accept)

    assert answer.body == made


async def frames(api: Api, path: str, count: int, **query: str) -> list[tuple[str, Object]]:
    """The first events of a watch in protobuf."""
    found: list[tuple[str, Object]] = []
    headers = {"accept": PROTOBUF}
    data = b""
    async with (
        asyncio.timeout(30),
        api.transport.stream("GET", path, query=query | {"watch": "true"}, headers=headers) as stream,
    ):
        assert stream.headers["content-type"] == f"{PROTOBUF};stream=watch"
        async for part in stream.chunks():
            data += part
            while len(data) >= 4 and len(data) >= 4 + (size := int.from_bytes(data[:4])):
                found.append(event(data[4 : 4 + size]))
                data = data[4 + size :]
            if len(found) >= count:
                return found[:count]
    raise AssertionError(f"the watch ended after {found}")


def event(raw: bytes) -> tuple[str, Object]:
    kind_size = raw[1]
    kind, rest = raw[2 : 2 + kind_size].decode(), raw[2 + kind_size :]
    return kind, binary.read(rest[rest.index(protobuf.MAGIC) :])


async def test_a_watch_sends_frames(api: Api) -> None:
    await api.make(MAPS, configmap("first"))

    (kind, first), (mark, bookmark) = await frames(
        api,
        MAPS,
        2,
        allowWatchBookmarks="true",
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
    )

    assert (kind, first["kind"], first["metadata"]["name"]) == ("ADDED", "ConfigMap", "first")
    assert (mark, bookmark["kind"]) == ("BOOKMARK", "ConfigMap")
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_changes_come_as_frames(api: Api) -> None:
    made = await api.make(MAPS, configmap())
    await api("DELETE", f"{MAPS}/settings")

    ((kind, obj),) = await frames(api, MAPS, 1, resourceVersion=made["metadata"]["resourceVersion"])

    assert (kind, obj["data"]) == ("DELETED", {"color": "blue"})


CRD = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Cluster",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


async def test_custom_resources_have_no_form_and_nothing_is_stored(api: Api) -> None:
    created = await api("POST", CRDS, CRD, accept=PROTOBUF)
    assert shown(binary.read(created.body))["spec"]["names"]["kind"] == "Thing"
    things = "/apis/example.com/v1/things"
    async with asyncio.timeout(30):
        while (await api("GET", things)).code != 200:
            await asyncio.sleep(0)
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}

    refused = await api("POST", things, thing, accept=PROTOBUF)

    offered = "only the following media types are accepted: application/json, application/yaml"
    assert (refused.code, refused.body["message"]) == (406, offered)
    assert (await api("GET", things)).body["items"] == []
    await api.make(things, thing)
    partial = binary.read((await api("GET", f"{things}/one", accept=PARTIAL)).body)
    assert partial["metadata"]["name"] == "one"


@pytest.mark.parametrize("path", ["/api", "/apis/apps/v1"])
async def test_documents_have_no_form(api: Api, path: str) -> None:
    assert (await api("GET", path, accept=PROTOBUF)).code == 406


async def test_tables_have_no_form(api: Api) -> None:
    answer = await api("GET", MAPS, accept=TABLE)

    offered = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    assert (answer.code, answer.body["message"]) == (
        406,
        f"only the following media types are accepted: {offered}",
    )

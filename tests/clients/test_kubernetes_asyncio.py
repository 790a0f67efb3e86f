"""`kubernetes-asyncio`: typed calls, watches, the dynamic client, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import client, config, dynamic, watch
from kubernetes_asyncio.client import ApiException

from .cluster import Cluster
from .shapes import DEPLOYMENT, configmap


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[client.ApiClient]:
    made = await config.new_client_from_config(str(cluster.kubeconfig))
    async with made:
        yield made


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


async def test_an_object_lives_its_life(core: client.CoreV1Api, namespace: str) -> None:
    await core.create_namespaced_config_map(namespace, configmap(labels={"app": "web"}))
    await core.patch_namespaced_config_map("settings", namespace, {"data": {"size": "1"}})
    read = await core.read_namespaced_config_map("settings", namespace)
    listed = await core.list_namespaced_config_map(namespace, label_selector="app=web")
    gone = await core.delete_namespaced_config_map("settings", namespace)

    assert read.data == {"color": "blue", "size": "1"}
    assert [one.metadata.uid for one in listed.items] == [read.metadata.uid]
    assert gone.status == "Success"


async def test_a_deployment_becomes_available_in_a_watch(api: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    await apps.create_namespaced_deployment(namespace, DEPLOYMENT)

    async with watch.Watch() as watching:
        async for event in watching.stream(apps.list_namespaced_deployment, namespace, timeout_seconds=30):
            if event["object"].status.available_replicas == 2:
                break

    assert event["object"].metadata.name == "web"


async def test_many_requests_at_once_are_answered_each(core: client.CoreV1Api, namespace: str) -> None:
    made = await asyncio.gather(
        *(core.create_namespaced_config_map(namespace, configmap(f"many-{number}")) for number in range(50))
    )

    assert len({one.metadata.uid for one in made}) == 50


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        pytest.param("Upper", 422, "Unprocessable Entity", id="invalid"),
        pytest.param("kube-root-ca.crt", 409, "Conflict", id="exists"),
    ],
)
async def test_refusals_are_exceptions(
    core: client.CoreV1Api, namespace: str, name: str, code: int, reason: str
) -> None:
    if code == 409:
        await core.create_namespaced_config_map(namespace, configmap(name := "twice"))

    with pytest.raises(ApiException) as error:
        await core.create_namespaced_config_map(namespace, configmap(name))

    assert (error.value.status, error.value.reason) == (code, reason)


async def test_a_watch_from_a_compacted_revision_says_so(core: client.CoreV1Api, namespace: str) -> None:
    """The client lists anew for its user when told 410, unless the user named the revision."""
    watching = watch.Watch()
    events = watching.stream(core.list_namespaced_config_map, namespace, resource_version="1")
    with pytest.raises(ApiException) as error:
        await anext(events)
    await watching.close()

    assert error.value.status == 410


async def test_pages(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(3):
        await core.create_namespaced_secret(
            namespace, {"metadata": {"name": f"s{number}"}, "stringData": {"a": "b"}}
        )

    first = await core.list_namespaced_secret(namespace, limit=2)
    rest = await core.list_namespaced_secret(namespace, limit=2, _continue=first.metadata._continue)

    assert [one.metadata.name for one in (*first.items, *rest.items)] == ["s0", "s1", "s2"]
    assert (first.metadata.remaining_item_count, rest.metadata._continue) == (1, None)


async def test_the_dynamic_client_applies(api: client.ApiClient, namespace: str) -> None:
    async with dynamic.DynamicClient(api) as dyn:
        maps = await dyn.resources.get(api_version="v1", kind="ConfigMap")
        await maps.server_side_apply(body=configmap(), namespace=namespace, field_manager="one")
        read = await maps.get(name="settings", namespace=namespace)

    [entry] = read.metadata.managedFields
    assert (entry.manager, entry.operation) == ("one", "Apply")

"""`kr8s`: objects with methods, discovery, waiting, watching."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import kr8s
import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Node, Pod, new_class

from .cluster import Cluster
from .shapes import DEPLOYMENT, configmap, pod

# kr8s warns about every release of Kubernetes that is newer than itself.
pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")


@pytest.fixture
async def api(cluster: Cluster, namespace: str) -> Any:
    return await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)


async def test_an_object_lives_its_life(api: Any) -> None:
    made = await ConfigMap(configmap(labels={"app": "web"}), api=api)
    await made.create()
    await made.patch({"data": {"size": "1"}})
    await made.label({"tier": "front"})
    await made.annotate({"note": "yes"})
    await made.refresh()
    found = [one async for one in api.get("configmaps", label_selector={"tier": "front"})]
    await made.delete()

    assert dict(made.raw["data"]) == {"color": "blue", "size": "1"}
    assert (made.labels["tier"], made.annotations["note"]) == ("front", "yes")
    assert [one.name for one in found] == ["settings"]
    assert not await made.exists()


async def test_a_deployment_rolls_out_scales_and_names_its_pods(api: Any) -> None:
    web = await Deployment(DEPLOYMENT, api=api)
    await web.create()
    await web.wait("condition=Available", timeout=30)
    await web.scale(3)
    await web.wait("jsonpath='{.status.readyReplicas}'=3", timeout=30)

    assert len(await web.pods()) == 3
    assert await web.ready()


async def test_a_pod_is_ready_then_deleted(api: Any) -> None:
    one = await Pod(pod(), api=api)
    await one.create()
    await one.wait("condition=Ready", timeout=30)
    await one.delete()
    await one.wait("delete", timeout=30)

    assert not await one.exists()


async def test_missing_and_refused(api: Any) -> None:
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("none", api=api)
    with pytest.raises(kr8s.ServerError) as error:
        await (await ConfigMap(configmap("Upper"), api=api)).create()

    assert error.value.response.status_code == 422
    assert error.value.status["reason"] == "Invalid"
    assert 'ConfigMap "Upper" is invalid' in str(error.value)


async def test_a_watch_sees_changes(api: Any) -> None:
    one = await ConfigMap(configmap(), api=api)
    await one.create()

    seen = []
    async with aclosing(api.watch("configmaps", field_selector="metadata.name=settings")) as events:
        async for kind, obj in events:
            seen.append((kind, obj.raw["data"]["color"]))
            if kind == "ADDED":
                await one.patch({"data": {"color": "red"}})
            elif kind == "MODIFIED":
                await one.delete()
            else:
                break

    assert seen == [("ADDED", "blue"), ("MODIFIED", "red"), ("DELETED", "red")]


async def test_discovery_finds_any_kind(api: Any) -> None:
    lease = new_class("Lease", version="coordination.k8s.io/v1", namespaced=True)
    made = await lease({"metadata": {"name": "one"}, "spec": {"holderIdentity": "me"}}, api=api)
    await made.create()

    found = [one async for one in api.get("leases.coordination.k8s.io")]
    kinds = {row["kind"] for row in await api.api_resources()}

    assert [one.raw["spec"]["holderIdentity"] for one in found] == ["me"]
    assert {"Pod", "Deployment", "Lease", "CustomResourceDefinition"} <= kinds


async def test_version_and_whoami(api: Any) -> None:
    assert (await api.version())["gitVersion"].startswith("v1.37.")
    assert await api.whoami()


async def test_a_node_is_cordoned(api: Any) -> None:
    [node, *_] = [one async for one in Node.list(api=api)]
    await node.cordon()
    await node.refresh()
    cordoned = node.unschedulable
    await node.uncordon()
    await node.refresh()

    assert (cordoned, node.unschedulable) == (True, False)

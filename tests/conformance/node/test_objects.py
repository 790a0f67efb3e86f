"""ConfigMaps, Secrets, PodTemplates, Leases, RuntimeClasses and Nodes as the node behaviours use them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ..api import JSON_PATCH, MERGE, Api

DATA = ("configmaps", "secrets")


@pytest.mark.parametrize("kind", DATA)
async def test_empty_key_is_refused(api: Api, core: str, kind: str) -> None:
    answer = await api("POST", f"{core}/{kind}", {"metadata": {"name": "e"}, "data": {"": "dmFsdWUtMQ=="}})

    assert (answer.code, answer.body["reason"]) == (422, "Invalid")


@pytest.mark.parametrize("kind", DATA)
async def test_immutable_data_cannot_change_nor_become_mutable_again(api: Api, core: str, kind: str) -> None:
    path = f"{core}/{kind}/fixed"
    await api.make(f"{core}/{kind}", {"metadata": {"name": "fixed"}, "data": {"a": "dmFsdWUtMQ=="}})
    fixed = await api.change(path, lambda found: found.update(immutable=True))
    changed, mutable, labelled = deepcopy(fixed), deepcopy(fixed), deepcopy(fixed)
    changed["data"]["a"] = "dmFsdWUtMg=="
    mutable["immutable"] = False
    labelled["metadata"]["labels"] = {"still": "mutable"}

    assert (await api("PUT", path, changed)).code == 422
    assert (await api("PUT", path, mutable)).code == 422
    assert (await api("PUT", path, labelled)).code == 200
    await api.delete(path)


async def test_configmap_is_watched_through_its_life(api: Api, core: str) -> None:
    labels = {"test-configmap-static": "true"}
    async with api.watch(f"{core}/configmaps", labelSelector="test-configmap-static=true") as watch:
        await api.make(
            f"{core}/configmaps", {"metadata": {"name": "m", "labels": labels}, "data": {"v": "1"}}
        )
        await watch.until("ADDED")
        await api.patch(f"{core}/configmaps/m", {"metadata": {"labels": {"p": "q"}}, "data": {"v": "2"}})
        assert (await watch.until("MODIFIED"))["data"] == {"v": "2"}
        assert "m" in await api.names("/api/v1/configmaps", labelSelector="test-configmap-static=true")
        await api("DELETE", f"{core}/configmaps", labelSelector="test-configmap-static=true")
        await watch.until("DELETED")


async def test_secret_is_patched_and_found_by_label_everywhere(api: Api, core: str) -> None:
    await api.make(
        f"{core}/secrets", {"metadata": {"name": "s", "labels": {"t": "c"}}, "data": {"k": "dg=="}}
    )
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"k": "bmV3"}}
    await api.patch(f"{core}/secrets/s", patch)

    [found] = await api.items("/api/v1/secrets", labelSelector="testsecret=true")
    assert (found["data"], found["type"]) == ({"k": "bmV3"}, "Opaque")


async def test_lease_keeps_microseconds(api: Api, namespace: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-11-21T15:00:00.123456Z",
        "renewTime": "2026-11-21T15:00:05.000001Z",
        "leaseTransitions": 0,
    }
    assert (await api.make(leases, {"metadata": {"name": "l"}, "spec": spec}))["spec"] == spec
    patched = await api.patch(f"{leases}/l", {"spec": {"holderIdentity": "other", "leaseTransitions": 1}})
    assert patched["spec"] == spec | {"holderIdentity": "other", "leaseTransitions": 1}


async def test_pod_template_is_replaced(api: Api, core: str) -> None:
    template = {"spec": {"containers": [{"name": "nginx", "image": "web:1"}]}}
    labels = {"podtemplate": "new"}
    await api.make(
        f"{core}/podtemplates", {"metadata": {"name": "t", "labels": labels}, "template": template}
    )

    def annotate(found: Any) -> None:
        found["metadata"]["annotations"] = {"updated": "true"}

    assert (await api.change(f"{core}/podtemplates/t", annotate))["metadata"]["annotations"] == {
        "updated": "true"
    }
    await api("DELETE", f"{core}/podtemplates", labelSelector="podtemplate=new")
    assert await api.items(f"{core}/podtemplates") == []


async def test_runtime_class_gives_its_overhead_and_is_missed_when_it_is_gone(api: Api, core: str) -> None:
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    overhead = {"cpu": "10m", "memory": "1Mi"}
    await api.make(
        classes, {"metadata": {"name": "heavy"}, "handler": "runc", "overhead": {"podFixed": overhead}}
    )
    await api.make(classes, {"metadata": {"name": "light"}, "handler": "runc"})

    assert (await api.make(f"{core}/pods", classed("a", "heavy")))["spec"]["overhead"] == overhead
    assert "overhead" not in (await api.make(f"{core}/pods", classed("b", "light")))["spec"]
    for name in ("heavy", "light"):
        await api.delete(f"{classes}/{name}")
    gone = await api("POST", f"{core}/pods", classed("c", "heavy"))
    assert (gone.code, gone.body["reason"]) == (403, "Forbidden")


def classed(name: str, runtime_class: str) -> dict[str, Any]:
    container = {"name": "c", "image": "web:1"}
    return {
        "metadata": {"name": name},
        "spec": {"runtimeClassName": runtime_class, "containers": [container]},
    }


async def test_node_lives_through_the_api_alone(api: Api) -> None:
    nodes, status = "/api/v1/nodes", "/api/v1/nodes/e2e-fake-node/status"
    ready = {"type": "Ready", "status": "True", "message": "Set from e2e test"}
    given = {"phase": "Running", "conditions": [ready], "capacity": {"cpu": "1k", "memory": "1"}}
    made = await api.make(nodes, {"metadata": {"name": "e2e-fake-node"}, "status": given})
    assert made["status"]["capacity"] == {"cpu": "1k", "memory": "1"}

    await api.patch(f"{nodes}/e2e-fake-node", {"metadata": {"labels": {"e2e-fake": "patched"}}})
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    found = await api.patch(
        status, {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [condition]}}
    )
    assert condition in found["status"]["conditions"]
    await api("DELETE", nodes, labelSelector="e2e-fake=patched")
    assert await api.gone(f"{nodes}/e2e-fake-node")


DEVICE_CLASS = {"metadata": {"name": "dra"}, "spec": {}}
REQUEST = {"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "dra"}}]}}


async def test_resource_claim_takes_its_status_by_every_kind_of_patch(api: Api, namespace: str) -> None:
    claims = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    claim = await api.make(claims, {"metadata": {"name": "c"}, "spec": REQUEST})
    result = {"request": "req-0", "driver": "dra.example.com", "pool": "p", "device": "d"}
    claim["status"] = {"allocation": {"devices": {"results": [result]}}}
    await api.put(f"{claims}/c/status", claim)

    holder = {"resource": "pods", "name": "p", "uid": "u"}
    reserved = [{"op": "add", "path": "/status/reservedFor", "value": [holder]}]
    found = await api.patch(f"{claims}/c/status", reserved, JSON_PATCH)
    assert found["status"]["reservedFor"] == [holder]
    device = {key: result[key] for key in ("driver", "pool", "device")}
    found = await api.patch(f"{claims}/c/status", {"status": {"devices": [device]}})
    assert found["status"]["devices"] == [device]
    found = await api.patch(f"{claims}/c/status", {"status": {"reservedFor": None}}, MERGE)
    assert "reservedFor" not in found["status"]

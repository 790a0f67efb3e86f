"""Claims of devices, and the protection of classes, with the rights of their accounts, against the real API
server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.meta import condition
from kplane.client.rest import Client
from kplane.controllers.config import Config
from kplane.controllers.devicetainteviction.views import DeviceTaintRule
from kplane.controllers.resourceclaim.plan import FINALIZER
from kplane.controllers.resourceclaim.views import TEMPLATES, ResourceClaim
from kplane.controllers.storage.classprotection import AttributesClass
from kplane.controllers.storageversionmigrator import Migration
from kplane.testing.devices import ALLOCATED, make_device_spec
from kplane.testing.waiting import eventually

from ..guarded import guarded, managed

NAMES = (
    "resourceclaim",
    "device-taint-eviction",
    "volumeattributesclass-protection",
    "storage-version-migrator",
)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Client]:
    """Of a server that asks RBAC, under controllers that work as their accounts."""
    options = Config(controllers=tuple(f"{name}-controller" for name in NAMES))
    async with guarded(tmp_path) as world, managed(world, options):
        yield world.client()


async def named(admin: Client) -> str:
    """The claim that the Pod's status names."""

    async def look() -> str | None:
        pod = await admin.get(Pod, "web", "default")
        return next((entry.resource_claim_name for entry in pod.status.resource_claim_statuses), None)

    name: str = await eventually(look)
    return name


@pytest.mark.slow
async def test_a_claim_comes_with_its_pod_and_goes_with_its_end(admin: Client) -> None:
    device: Object = {"name": "device", "resourceClaimTemplateName": "gpus"}
    pod: Object = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "resourceClaims": [device]},
    }
    template = {"metadata": {"name": "gpus", "namespace": "default"}, "spec": {"spec": make_device_spec()}}
    await admin.create(TEMPLATES, template)
    made = await admin.create(Pod, pod)

    name = await named(admin)
    await admin.patch(ResourceClaim, name, "default", {"metadata": {"finalizers": [FINALIZER]}})
    us = {"resource": "pods", "name": "web", "uid": made.metadata.uid}
    status = {"status": {"allocation": ALLOCATED, "reservedFor": [us]}}
    await admin.patch(ResourceClaim, name, "default", status, subresource="status")
    await admin.patch(Pod, "web", "default", {"status": {"phase": "Succeeded"}}, subresource="status")

    async def gone() -> bool:
        try:
            await admin.get(ResourceClaim, name, "default")
        except NotFound:
            return True
        return False

    assert await eventually(gone)
    assert (await admin.get(Pod, "web", "default")).status.phase == "Succeeded"


@pytest.mark.slow
async def test_a_pod_goes_when_its_device_is_tainted_and_the_rule_tells(admin: Client) -> None:
    uses: Object = {"name": "device", "resourceClaimName": "gpu"}
    pod: Object = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "web", "image": "web:1"}],
            "resourceClaims": [uses],
        },
    }
    await admin.create(
        ResourceClaim, {"metadata": {"name": "gpu", "namespace": "default"}, "spec": make_device_spec()}
    )
    made = await admin.create(Pod, pod)
    us = {"resource": "pods", "name": "web", "uid": made.metadata.uid}
    status = {"status": {"allocation": ALLOCATED, "reservedFor": [us]}}
    await admin.patch(ResourceClaim, "gpu", "default", status, subresource="status")
    taint = {"key": "example.com/broken", "effect": "None"}
    spec = {"deviceSelector": {"driver": "gpu.example.com"}, "taint": taint}
    await admin.create(DeviceTaintRule, {"metadata": {"name": "broken"}, "spec": spec})

    async def told() -> str | None:
        rule = await admin.get(DeviceTaintRule, "broken")
        found = condition(rule.status.conditions, "EvictionInProgress")
        return found.message if found else None

    async def condemned() -> str | None:
        found = await admin.get(Pod, "web", "default")
        why = condition(found.status.conditions, "DisruptionTarget")
        return why.reason if why is not None and found.metadata.deletion_timestamp is not None else None

    assert "1 pod would be evicted in 1 namespace" in (await eventually(told) or "")
    await admin.patch(DeviceTaintRule, "broken", "", {"spec": {"taint": taint | {"effect": "NoExecute"}}})
    assert await eventually(condemned) == "DeletionByDeviceTaintManager"


@pytest.mark.slow
async def test_a_class_gets_its_finalizer_and_loses_it(admin: Client) -> None:
    body = {"driverName": "csi.example.com", "parameters": {"iops": "9000"}}
    await admin.create(AttributesClass, {"metadata": {"name": "gold"}, **body})

    async def protected() -> bool:
        return bool((await admin.get(AttributesClass, "gold")).metadata.finalizers)

    async def let_go() -> bool:
        return not (await admin.list(AttributesClass)).items

    assert await eventually(protected)
    await admin.delete(AttributesClass, "gold")
    assert await eventually(let_go)


@pytest.mark.slow
async def test_a_migration_succeeds_with_the_rights_of_its_account(admin: Client) -> None:
    wanted = {"resource": {"group": "rbac.authorization.k8s.io", "resource": "clusterroles"}}
    await admin.create(Migration, {"metadata": {"name": "roles"}, "spec": wanted})

    async def succeeded() -> bool:
        found = await admin.get(Migration, "roles")
        return condition(found.status.conditions, "Succeeded") is not None

    assert await eventually(succeeded)

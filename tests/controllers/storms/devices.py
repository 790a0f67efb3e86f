"""Stories of devices: each Pod has one claim of its own, what finished Pods held is free again, and who uses
a broken device goes."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.meta import condition
from kplane.controllers.devicetainteviction.status import KIND
from kplane.controllers.devicetainteviction.views import DeviceTaintRule
from kplane.controllers.resourceclaim.plan import FINALIZER, POD_CLAIM
from kplane.controllers.resourceclaim.views import ResourceClaim
from kplane.testing.cluster import FakeCluster
from kplane.testing.devices import (
    ALLOCATED,
    make_claim_template,
    make_resource_claim,
    make_resource_slice,
    make_taint_rule,
)
from kplane.testing.objects import make_pod

from .scenario import Scenario

SHARED: Object = {"name": "shared", "resourceClaimName": "shared"}
OWN: Object = {"name": "own", "resourceClaimTemplateName": "gpus"}
ALSO: Object = {"name": "also", "resourceClaimTemplateName": "gpus"}


def _pod(name: str, *entries: Object) -> Object:
    return make_pod(name, node="node-1", phase="Running", resourceClaims=list(entries))


def _start() -> list[Object]:
    """Two Pods that share a claim; one of them has two of its own."""
    sharing = [_pod("web", SHARED, OWN, ALSO), _pod("other", SHARED)]
    shared = make_resource_claim("shared", allocated=True, reserved_for=sharing, finalizers=[FINALIZER])
    return [make_claim_template(), shared, *sharing]


def _finish(cluster: FakeCluster, name: str) -> None:
    for pod in cluster.list(Pod.API.as_type(dict)):
        if pod["metadata"]["name"] == name:
            cluster.load(pod | {"status": pod["status"] | {"phase": "Succeeded"}})


def _schedule(cluster: FakeCluster) -> None:
    """What the scheduler does for the claims of Pods that run."""
    running = {pod.metadata.uid for pod in cluster.list(Pod) if not pod.terminal}
    for claim in cluster.list(ResourceClaim.API.as_type(dict)):
        meta = claim["metadata"]
        owners = [owner["uid"] for owner in meta.get("ownerReferences", ())]
        if running.intersection(owners) and not (claim.get("status") or {}).get("allocation"):
            finalizers = [*meta.get("finalizers", ()), FINALIZER]
            cluster.load(
                claim | {"metadata": meta | {"finalizers": finalizers}, "status": {"allocation": ALLOCATED}}
            )


def _live(cluster: FakeCluster, step: int) -> None:
    _schedule(cluster)
    if step == 2:
        cluster.load(_pod("short", OWN), _pod("late", OWN))
    if step == 4:
        cluster.delete(Pod, Key("default", "other"))
    if step == 12:
        _finish(cluster, "short")
        _finish(cluster, "web")


def _no_claim_too_many(cluster: FakeCluster) -> None:
    made = [
        (owner.uid, claim.metadata.annotations.get(POD_CLAIM))
        for claim in cluster.list(ResourceClaim)
        if (owner := claim.metadata.controller) is not None
    ]
    assert len(made) == len(set(made)), "one claim for each entry of a Pod"


def _held(cluster: FakeCluster) -> Any:
    """Per claim: whose it is, for whom it is reserved, whether it is allocated."""
    held = []
    for claim in cluster.list(ResourceClaim):
        owner = claim.metadata.controller
        reserved = [consumer.name for consumer in claim.status.reserved_for]
        held.append((owner.name if owner else "", reserved, claim.status.allocation is not None))
    named = {
        entry.resource_claim_name
        for pod in cluster.list(Pod)
        if pod.metadata.name == "late"
        for entry in pod.status.resource_claim_statuses
    }
    known = {claim.metadata.name for claim in cluster.list(ResourceClaim)}
    return sorted(held), len(named & known)


CLAIMS = Scenario(
    controllers=["resourceclaim-controller"],
    objects=_start,
    world=_live,
    rule=_no_claim_too_many,
    outcome=_held,
    expected=([("", [], False), ("late", ["late"], True)], 1),
)


def _tainted() -> list[Object]:
    """Two Pods with a device each; one of the devices is to break."""
    spared = [{"key": "example.com/broken", "operator": "Exists", "effect": "NoExecute"}]
    here, there = _pod("here", SHARED), _pod("there", _named("other"))
    return [
        here,
        there,
        make_resource_claim("shared", allocated=True, reserved_for=[here]),
        make_resource_claim("other", allocated=True, reserved_for=[there], tolerations=spared),
        make_resource_slice(),
    ]


def _named(claim: str) -> Object:
    return {"name": "gpu", "resourceClaimName": claim}


def _break(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        cluster.load(make_taint_rule())
    for pod in cluster.list(Pod):
        if pod.metadata.deletion_timestamp is not None:
            cluster.delete(Pod, pod.key)


def _told(cluster: FakeCluster) -> Any:
    said = [condition(rule.status.conditions, KIND) for rule in cluster.list(DeviceTaintRule)]
    return {pod.metadata.name for pod in cluster.list(Pod)}, [found and found.status for found in said]


TAINTS = Scenario(
    controllers=["device-taint-eviction-controller"],
    objects=_tainted,
    world=_break,
    outcome=_told,
    expected=({"there"}, ["False"]),
)

STORIES = {"claims of devices": CLAIMS, "devices that break": TAINTS}

"""Warnings about Services, volumes, storage and runtime classes, as they reach the client."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kplane.apiserver.registry.strategies import STRATEGIES

from ..conftest import Api

ARCH = "beta.kubernetes.io/arch"
INSTEAD = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
PORTS = [{"port": 80}]


def volume(**spec: Any) -> dict[str, Any]:
    base = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    return {"spec": base | ({} if "cephfs" in spec else {"hostPath": {"path": "/data"}}) | spec}


def selecting(key: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}


CASES = [
    pytest.param("services", {"spec": {"ports": PORTS}}, [], id="plain-service"),
    pytest.param(
        "services",
        {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
         "spec": {"ports": PORTS, "trafficDistribution": "PreferClose"}},
        ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
         "service.kubernetes.io/topology-mode instead",
         'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        id="hints",
    ),
    pytest.param(
        "services",
        {"spec": {"ports": PORTS, "clusterIP": "None", "externalIPs": ["192.0.2.1"],
                  "sessionAffinity": "ClientIP"}},
        ["spec.externalIPs is ignored for headless services",
         "spec.SessionAffinity is ignored for headless services"],
        id="headless",
    ),
    pytest.param(
        "services",
        {"spec": {"ports": PORTS, "externalIPs": ["192.0.2.1"], "externalName": "a.example"}},
        ["spec.externalIPs is deprecated and may no longer be implemented in some clusters",
         'spec.externalName is ignored when spec.type is not "ExternalName"'],
        id="external-addresses",
    ),
    pytest.param(
        "services",
        {"spec": {"type": "ExternalName", "externalName": "a.example", "externalIPs": ["192.0.2.1"]}},
        ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        id="external-name",
    ),
    pytest.param("persistentvolumes", volume(), [], id="plain-volume"),
    pytest.param(
        "persistentvolumes",
        volume(persistentVolumeReclaimPolicy="Recycle",
               nodeAffinity={"required": {"nodeSelectorTerms": [selecting(ARCH)]}})
        | {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}},
        ["spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: "
         f"{ARCH} is {INSTEAD}",
         "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
         '"storageClassName" attribute instead',
         "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
         "recommended approach is to use dynamic provisioning."],
        id="volume",
    ),
    pytest.param(
        "persistentvolumes",
        volume(cephfs={"monitors": ["192.0.2.1"]}),
        ["spec.cephfs: deprecated in v1.28, non-functional in v1.31+"],
        id="gone-volume",
    ),
    pytest.param(
        "storageclasses",
        {"provisioner": "example.com/disk",
         "allowedTopologies": [{"matchLabelExpressions": [{"key": ARCH, "values": ["a"]}]}]},
        [f"allowedTopologies[0].matchLabelExpressions[0]: {INSTEAD}"],
        id="storage-class",
    ),
    pytest.param(
        "csistoragecapacities",
        {"storageClassName": "a", "nodeTopology": selecting(ARCH) | {"matchLabels": {ARCH: "a"}}},
        [f"nodeTopology.matchExpressions[0].key: {ARCH} is {INSTEAD}",
         f"nodeTopology.matchLabels.{ARCH}: {INSTEAD}"],
        id="capacity",
    ),
    pytest.param(
        "runtimeclasses",
        {"handler": "runc", "scheduling": {"nodeSelector": {ARCH: "a"}}},
        [f"scheduling.nodeSelector: {INSTEAD}"],
        id="runtime-class",
    ),
]  # fmt: skip
GROUPS = {
    "persistentvolumes": "",
    "services": "",
    "storageclasses": "storage.k8s.io",
    "csistoragecapacities": "storage.k8s.io",
    "runtimeclasses": "node.k8s.io",
}


@pytest.mark.parametrize(("plural", "body", "texts"), CASES)
def test_what_is_warned_of(plural: str, body: dict[str, Any], texts: list[str]) -> None:
    obj = copy.deepcopy({"metadata": {"name": "one"}} | body)
    strategy = STRATEGIES[GROUPS[plural], plural]
    strategy.default(obj)

    assert list(strategy.warnings(obj)) == texts


async def test_warnings_reach_the_client(api: Api) -> None:
    body = volume(persistentVolumeReclaimPolicy="Recycle") | {"metadata": {"name": "one"}}

    answer = await api("POST", "/api/v1/persistentvolumes", body)

    assert answer.code == 201
    assert answer.headers["warning"].startswith('299 - "spec.persistentVolumeReclaimPolicy: The Recycle')

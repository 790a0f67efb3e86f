"""Volumes, storage and runtime classes, drivers, claims of devices: what is refused, what may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

STORAGE, DYNAMIC = "storage.k8s.io", "resource.k8s.io"
CLASS = {"deviceClassName": "gpu.example.com"}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
AFFINITY = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}
DRIVER = {"name": "d.example.com", "nodeID": "n"}


def volume(**spec: Any) -> dict[str, Any]:
    return {"spec": VOLUME | spec}


def driver(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "d.example.com"}, "spec": spec}


def node(*drivers: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"drivers": [*drivers]}}


def storage_class(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"provisioner": "a.b/c", "allowedTopologies": [*terms]}


def term(*values: str) -> dict[str, Any]:
    return {"matchLabelExpressions": [{"key": "zone", "values": [*values]}]}


def claim(*requests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": [{"name": "a"} | request for request in requests]} | more}}


@pytest.mark.parametrize(
    ("group", "plural", "obj", "fault"),
    [
        ("", "persistentvolumes", volume(csi={"driver": "d.example.com", "volumeHandle": "h"}), ""),
        ("", "persistentvolumes", volume(csi={"driver": "d.example.com"}),
            "spec.csi.volumeHandle: Required value"),
        ("", "persistentvolumes", volume(local={"path": "/a"}, nodeAffinity=AFFINITY), ""),
        ("", "persistentvolumes", volume(local={"path": "/a"}),
            "spec.nodeAffinity: Required value: Local volume requires node affinity"),
        ("", "persistentvolumes", volume(nfs={"path": "/a"}), "spec.nfs.server: Required value"),
        (STORAGE, "csidrivers", driver(tokenRequests=[{"audience": "a"}, {"audience": "b"}]), ""),
        (STORAGE, "csidrivers", driver(tokenRequests=[{"audience": "a"}, {"audience": "a"}]),
            'spec.tokenRequests[1].audience: Duplicate value: "a"'),
        (STORAGE, "csidrivers", driver(tokenRequests=[{"audience": "a", "expirationSeconds": 599}]),
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less"
            " than 10 minutes"),
        (STORAGE, "csidrivers", driver(fsGroupPolicy="Odd"),
            'spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None",'
            ' "ReadWriteOnceWithFSType"'),
        (STORAGE, "csinodes", node(DRIVER), ""),
        (STORAGE, "csinodes", node(DRIVER | {"nodeID": "n" * 193}),
            f'spec.drivers[0].nodeID: Invalid value: "{"n" * 193}": must be 192 characters or less'),
        (STORAGE, "csinodes", node(DRIVER | {"allocatable": {"count": -1}}),
            "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"),
        (STORAGE, "csinodes", node(DRIVER | {"topologyKeys": ["a", "a"]}),
            'spec.drivers[0].topologyKeys: Duplicate value: "a"'),
        (STORAGE, "storageclasses", storage_class(term("a"), term("b")), ""),
        (STORAGE, "storageclasses", storage_class(term()),
            "allowedTopologies.matchLabelExpressions[0].values: Required value"),
        (STORAGE, "storageclasses", storage_class(term("a"), term("a")),
            'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""'),
        ("node.k8s.io", "runtimeclasses", {"handler": "h", "overhead": {"podFixed": {"cpu": "1m"}}}, ""),
        ("node.k8s.io", "runtimeclasses", {"handler": "h", "scheduling": {"tolerations": [{"key": "a",
            "operator": "Exists"}] * 2}},
            'scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}'),
        (DYNAMIC, "resourceclaims", claim({"exactly": CLASS}), ""),
        (DYNAMIC, "resourceclaims", claim({"firstAvailable": [{"name": "b"} | CLASS]}), ""),
        (DYNAMIC, "resourceclaims", claim({}),
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is"
            " required"),
        (DYNAMIC, "resourceclaims", claim({"exactly": {}}),
            "spec.devices.requests[0].exactly.deviceClassName: Required value"),
        (DYNAMIC, "resourceclaims", claim({"exactly": CLASS}, {"exactly": CLASS}),
            'spec.devices.requests[1]: Duplicate value: "a"'),
        (DYNAMIC, "resourceclaims", claim({"exactly": CLASS | {"allocationMode": "All", "count": 2}}),
            "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when"
            " allocationMode is 'All'"),
        (DYNAMIC, "resourceclaims", claim({"exactly": CLASS}, constraints=[{"requests": ["b"]}]),
            'spec.devices.constraints[0].requests[0]: Invalid value: "b": must be the name of a request in'
            " the claim or the name of a request and a subrequest separated by '/'"),
    ],
)  # fmt: skip
def test_faults_are_worded_as_upstream(
    judge: Any, group: str, plural: str, obj: dict[str, Any], fault: str
) -> None:
    faults = judge(group, plural).faults(obj)

    assert fault in faults if fault else faults == []


@pytest.mark.parametrize("plural", ["resourceclaims", "resourceclaimtemplates"])
def test_one_device_is_asked_for_where_nothing_is_said(judge: Any, plural: str) -> None:
    spec = claim({"exactly": dict(CLASS)})["spec"]
    kind = judge(DYNAMIC, plural)
    made = kind.created({"spec": spec} if plural == "resourceclaims" else {"spec": {"spec": spec}})

    devices = (made["spec"] if plural == "resourceclaims" else made["spec"]["spec"])["devices"]
    assert devices["requests"][0]["exactly"] == CLASS | {"allocationMode": "ExactCount", "count": 1}
    changed = copy.deepcopy(made)
    changed["spec"] = {}
    assert "field is immutable" in kind.update_faults(changed, made)[0]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param({}, {"allocation": {}, "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]},
            "", id="allocated"),
        pytest.param({}, {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]},
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
            id="not allocated"),
        pytest.param({"allocation": {}}, {"allocation": {"a": "b"}},
            'status.allocation: Invalid value: {"a":"b"}: field is immutable', id="moved"),
        pytest.param({"allocation": {}}, {}, "", id="let go"),
    ],
)  # fmt: skip
def test_the_status_of_a_claim(judge: Any, old: Any, new: Any, fault: str) -> None:
    meta = {"metadata": {"name": "x"}}

    faults = judge(DYNAMIC, "resourceclaims").status_faults(meta | {"status": new}, meta | {"status": old})

    assert faults == ([fault] if fault else [])


def test_drivers_of_a_node_keep_what_they_said(judge: Any) -> None:
    kind = judge(STORAGE, "csinodes")
    old = kind.created(node(DRIVER))

    assert kind.update_faults({**old, **node(DRIVER | {"allocatable": {"count": 3}})}, old) == []
    (fault,) = kind.update_faults({**old, **node(DRIVER | {"nodeID": "m"})}, old)
    assert fault.startswith("CSINodeDriver: Invalid value: ")


def test_a_volume_stays_where_it_is(judge: Any) -> None:
    kind = judge("", "persistentvolumes")
    old = kind.created(volume(local={"path": "/a"}, nodeAffinity=AFFINITY))
    new = copy.deepcopy(old)
    new["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["key"] = "b"

    (fault,) = kind.update_faults(new, old)
    assert fault.endswith("field is immutable, except for updating from beta label to GA")

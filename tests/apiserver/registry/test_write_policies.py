"""Per kind, over HTTP: whether PUT creates, whether it needs a revision, what DELETE leaves behind, and which
fields a list may select by.
"""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api
from .test_api_operations import KINDS, LABELS
from .test_certificates import csr

NAMESPACE = "default"
CREATED_BY_PUT = {
    "clusterrolebindings", "clusterroles", "endpoints", "events", "leases", "limitranges", "priorityclasses",
    "rolebindings", "roles", "services",
}  # fmt: skip
NEED_REVISION = {
    "apiservices", "clustertrustbundles", "csidrivers", "csinodes", "csistoragecapacities",
    "customresourcedefinitions", "leases", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations", "podcertificaterequests", "poddisruptionbudgets", "runtimeclasses",
    "storageversionmigrations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations", "volumeattachments",
}  # fmt: skip
ORPHANING = {"jobs", "replicationcontrollers"}


def here(group_version: str, plural: str, scope: str) -> str:
    middle = f"/namespaces/{NAMESPACE}" if scope else ""
    return f"/{group_version}{middle}/{plural}"


def named(plural: str, body: dict[str, Any], name: str) -> dict[str, Any]:
    body = csr() if plural == "certificatesigningrequests" else body
    return {**body, "metadata": {**body.get("metadata", {}), "name": name, "labels": LABELS}}


KIND = pytest.mark.parametrize(
    ("group_version", "plural", "scope", "body"),
    [pytest.param(*kind[:4], id=f"{kind[0]}/{kind[1]}") for kind in KINDS],
)


@pytest.mark.slow
@KIND
async def test_what_put_does(
    api: Api, group_version: str, plural: str, scope: str, body: dict[str, Any]
) -> None:
    place = here(group_version, plural, scope)
    name = "crontabs.stable.example.com" if plural == "customresourcedefinitions" else "one.example.com"
    name = "one" if plural in ("services", "statefulsets", "namespaces") else name
    name = "v1.example.com" if plural == "apiservices" else name
    name = "192.0.2.1" if plural == "ipaddresses" else name
    missing = await api("PUT", f"{place}/{name}", named(plural, body, name))
    if plural in CREATED_BY_PUT:
        assert missing.code == 201, missing.body
        made = missing.body
    else:
        assert missing.code == 404, missing.body
        made = await api.make(place, named(plural, body, name))
    made["metadata"].pop("resourceVersion")
    changed = await api("PUT", f"{place}/{name}", made)

    if plural in NEED_REVISION:
        assert changed.code == 422
        assert changed.body["details"]["causes"] == [
            {"reason": "FieldValueInvalid", "field": "metadata.resourceVersion",
             "message": "Invalid value: 0: must be specified for an update"}
        ]  # fmt: skip
    else:
        assert changed.code == 200, changed.body


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param(kind[1], id=kind[1])
        for kind in KINDS
        if kind[1] in ORPHANING | {"deployments", "cronjobs", "replicasets", "statefulsets", "daemonsets"}
    ],
)
async def test_what_delete_leaves_behind(api: Api, plural: str) -> None:
    kind = next(kind for kind in KINDS if kind[1] == plural)
    place = here(*kind[:3])
    await api.make(place, named(plural, kind[3], "one"))

    deleted = await api("DELETE", f"{place}/one")

    assert deleted.code == 200
    left = await api("GET", f"{place}/one")
    if plural in ORPHANING:
        assert left.body["metadata"]["finalizers"] == ["orphan"]
    else:
        assert left.code == 404


SELECTED = [
    ("api/v1/pods", "spec.hostNetwork=false", 200, ""),
    ("api/v1/pods", "spec.host=n", 200, ""),
    ("api/v1/pods", "status.podIPs=192.0.2.1", 200, ""),
    ("api/v1/pods", "spec.color=red", 400, "field label not supported: spec.color"),
    ("api/v1/nodes", "spec.unschedulable=true", 200, ""),
    ("api/v1/nodes", "status.phase=Running", 400, "field label not supported: status.phase"),
    ("api/v1/secrets", "type=Opaque", 200, ""),
    ("api/v1/services", "spec.type=ClusterIP", 200, ""),
    ("api/v1/namespaces", "status.phase=Active", 200, ""),
    ("api/v1/events", "involvedObject.kind=Pod,reason=R,reportingComponent=c", 200, ""),
    ("api/v1/replicationcontrollers", "status.replicas=0", 200, ""),
    ("apis/apps/v1/replicasets", "status.replicas=0", 200, ""),
    ("apis/batch/v1/jobs", "status.successful=0", 200, ""),
    ("apis/batch/v1/jobs", "a=b", 400, 'field label "a" not supported for batchv1.Job'),
    ("apis/apps/v1/statefulsets", "status.successful=0", 200, ""),
    ("apis/apps/v1/statefulsets", "a=b", 400, "field label not supported for appsv1.StatefulSet: a"),
    ("apis/events.k8s.io/v1/events", "regarding.name=a", 200, ""),
    ("apis/certificates.k8s.io/v1/certificatesigningrequests", "spec.signerName=a.example/b", 200, ""),
    ("apis/certificates.k8s.io/v1/podcertificaterequests", "spec.podName=a,spec.nodeName=b", 200, ""),
    ("apis/resource.k8s.io/v1/resourceslices", "spec.driver=a,spec.nodeName=b", 200, ""),
    ("apis/resource.k8s.io/v1/resourceslices", "a=b", 400,
     "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: a"),
    ("api/v1/configmaps", "metadata.name=a,metadata.namespace=b", 200, ""),
    ("api/v1/configmaps", "data=a", 400,
     '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'),
]  # fmt: skip


async def test_which_fields_a_list_may_select_by(api: Api) -> None:
    for path, selector, code, message in SELECTED:
        answer = await api("GET", f"/{path}", fieldSelector=selector)
        assert answer.code == code, (path, selector, answer.body)
        assert message in answer.body.get("message", "")

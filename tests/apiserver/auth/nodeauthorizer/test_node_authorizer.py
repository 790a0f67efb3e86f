"""What a kubelet may do, through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import IN, Nodes

UNRELATED = "no relationship found between node 'n1' and this object"


async def ask(nodes: Nodes, method: str, path: str, body: Any = None, **query: str) -> str:
    """Why the kubelet is refused; empty if it is not."""
    answer = await nodes.n1(method, path, body, **query)
    if answer.code != 403:
        return ""
    return str(answer.body["message"]).partition(": ")[2].partition(": ")[2] or "no reason"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"imagePullSecrets": [{"name": "x"}]}, "secrets/x"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "secrets/x"),
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "configmaps/x"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]}, "secrets/x"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}}]},
            "configmaps/x",
        ),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
            "persistentvolumeclaims/x",
        ),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "x"}}}]},
            "secrets/x",
        ),
        (
            {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "x"}}]}]},
            "secrets/x",
        ),
        (
            {"containers": [{"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "x"}}]}]},
            "configmaps/x",
        ),
        (
            {
                "containers": [
                    {
                        "name": "c",
                        "image": "i",
                        "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}],
                    }
                ]
            },
            "secrets/x",
        ),
        (
            {
                "initContainers": [
                    {
                        "name": "i",
                        "image": "i",
                        "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}],
                    }
                ]
            },
            "configmaps/x",
        ),
        ({"serviceAccountName": "x"}, "serviceaccounts/x"),
    ],
)
async def test_a_node_reads_what_its_pods_name(nodes: Nodes, spec: Any, path: str) -> None:
    await nodes.pod("elsewhere", node="n2", **spec)
    await nodes.pod("unbound", node="", **spec)
    assert await ask(nodes, "GET", f"{IN}/{path}") == UNRELATED

    await nodes.pod("here", **spec)

    assert await ask(nodes, "GET", f"{IN}/{path}") == ""
    assert await ask(nodes, "GET", f"/api/v1/namespaces/other/{path}") == UNRELATED
    await nodes.admin("DELETE", f"{IN}/pods/here", gracePeriodSeconds="0")
    await nodes.admin("GET", f"{IN}/pods")
    assert await ask(nodes, "GET", f"{IN}/{path}") == UNRELATED


async def test_a_pod_that_is_bound_later_opens_what_it_names(nodes: Nodes) -> None:
    await nodes.pod(node="", volumes=[{"name": "v", "configMap": {"name": "x"}}])
    assert await ask(nodes, "GET", f"{IN}/configmaps/x") == UNRELATED

    await nodes.admin.make(f"{IN}/pods/web/binding", {"target": {"kind": "Node", "name": "n1"}})

    assert await ask(nodes, "GET", f"{IN}/configmaps/x") == ""


async def test_a_pod_belongs_to_its_node(nodes: Nodes) -> None:
    await nodes.pod("here")
    await nodes.pod("elsewhere", node="n2")

    assert await ask(nodes, "GET", f"{IN}/pods/here") == ""
    assert await ask(nodes, "GET", f"{IN}/pods", fieldSelector="metadata.name=here") == ""
    assert await ask(nodes, "GET", f"{IN}/pods/elsewhere") == UNRELATED


async def test_two_pods_with_one_secret_are_counted(nodes: Nodes) -> None:
    volumes = [{"name": "v", "secret": {"secretName": "x"}}]
    await nodes.pod("a", volumes=volumes)
    await nodes.pod("b", volumes=volumes)

    await nodes.admin("DELETE", f"{IN}/pods/a", gracePeriodSeconds="0")
    await nodes.admin("GET", f"{IN}/pods")

    assert await ask(nodes, "GET", f"{IN}/secrets/x") == ""


async def test_a_mirror_pod_opens_nothing(nodes: Nodes) -> None:
    body = {
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": "x"}}],
        },
    }
    await nodes.admin.make(f"{IN}/pods", body)

    assert await ask(nodes, "GET", f"{IN}/secrets/x") == UNRELATED


async def test_a_volume_and_its_secrets_follow_from_the_claim(nodes: Nodes) -> None:
    secret = {"name": "s", "namespace": "kube-system"}
    body = {
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": secret},
            "claimRef": {"namespace": "default", "name": "claim"},
        },
    }
    await nodes.admin.make("/api/v1/persistentvolumes", body)
    there = ("/api/v1/persistentvolumes/pv", "/api/v1/namespaces/kube-system/secrets/s")
    assert [await ask(nodes, "GET", path) for path in there] == [UNRELATED, UNRELATED]

    await nodes.pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}])

    assert [await ask(nodes, "GET", path) for path in there] == ["", ""]


async def test_attachments_belong_to_their_node(nodes: Nodes) -> None:
    for node in ("n1", "n2"):
        spec = {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "pv"}}
        await nodes.admin.make(
            "/apis/storage.k8s.io/v1/volumeattachments", {"metadata": {"name": f"to-{node}"}, "spec": spec}
        )

    assert await ask(nodes, "GET", "/apis/storage.k8s.io/v1/volumeattachments/to-n1") == ""
    assert await ask(nodes, "GET", "/apis/storage.k8s.io/v1/volumeattachments/to-n2") == UNRELATED


LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
CSI = "/apis/storage.k8s.io/v1/csinodes"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", f"{IN}/secrets", "No Object name found"),
        ("GET", "/api/v1/secrets", "can only read namespaced object of this type"),
        ("DELETE", f"{IN}/secrets/x", "can only read resources of this type"),
        ("PUT", f"{IN}/configmaps/x", "can only read resources of this type"),
        ("GET", f"{IN}/persistentvolumeclaims", "can only get individual resources of this type"),
        ("GET", f"{IN}/persistentvolumeclaims/x/status", "can only get/update/patch this type"),
        ("PATCH", f"{IN}/persistentvolumeclaims/x/status", UNRELATED),
        ("DELETE", "/api/v1/persistentvolumes/x", "can only get individual resources of this type"),
        ("POST", f"{IN}/serviceaccounts", "can only create tokens for individual service accounts"),
        ("POST", f"{IN}/serviceaccounts/x/token", UNRELATED),
        ("GET", LEASES.format("default"), "can only get, create, update, patch, or delete a node lease"),
        (
            "GET",
            LEASES.format("default") + "/n1",
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            "GET",
            LEASES.format("kube-node-lease") + "/n2",
            "can only access node lease with the same name as the requesting node",
        ),
        ("GET", LEASES.format("kube-node-lease") + "/n1", ""),
        ("GET", CSI, "can only get, create, update, patch, or delete a CSINode"),
        ("GET", f"{CSI}/n2", "can only access CSINode with the same name as the requesting node"),
        ("GET", f"{CSI}/n1", ""),
        ("GET", f"{CSI}/n1/status", "cannot authorize CSINode subresources"),
        ("GET", SLICES, "can only list/watch/deletecollection resourceslices with nodeName field selector"),
        ("GET", f"{SLICES}?fieldSelector=spec.nodeName%3Dn1", ""),
        ("GET", f"{SLICES}/x", UNRELATED),
        ("GET", "/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"),
        ("GET", "/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("GET", "/api/v1/nodes/n1", ""),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1", ""),
        ("DELETE", "/api/v1/nodes/n1", "no reason"),
        ("GET", "/api/v1/pods", "can only list/watch pods with spec.nodeName field selector"),
        ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", ""),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2",
            "can only list/watch pods with spec.nodeName field selector",
        ),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.nodeName%21%3Dn1",
            "can only list/watch pods with spec.nodeName field selector",
        ),
        ("GET", f"{IN}/pods/x", UNRELATED),
        ("PUT", f"{IN}/pods/x", "no reason"),
        ("GET", "/api/v1/services", ""),
        ("GET", "/apis/apps/v1/deployments", "no reason"),
        ("GET", "/api/v1/namespaces/default", "no reason"),
    ],
)
async def test_what_a_node_is_refused_and_why(nodes: Nodes, method: str, path: str, reason: str) -> None:
    where, _, query = path.partition("?")
    asked = dict([query.replace("%3D", "=").replace("%21", "!").split("=", 1)]) if query else {}

    assert await ask(nodes, method, where, None if method == "GET" else {}, **asked) == reason


async def test_who_only_looks_like_a_node_is_none(nodes: Nodes) -> None:
    assert (await nodes.outsider("GET", "/api/v1/nodes/n1")).code == 403
    answer = await nodes.nobody("GET", "/api/v1/nodes/n1")
    assert answer.body["message"].endswith(': unknown node for user "system:node:"')


async def test_a_node_cannot_list_what_it_may_do(nodes: Nodes) -> None:
    body = {"spec": {"namespace": "default"}}
    answer = await nodes.n1("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)

    assert answer.body["status"]["incomplete"] is True
    assert answer.body["status"]["evaluationError"] == "node authorizer does not support user rule resolution"

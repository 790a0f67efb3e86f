"""What a kubelet may not write, through HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.admission.noderestriction import forbidden_labels
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import csr

from ..conftest import TOKENS, Api, pod

PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"


@pytest.fixture
async def server(config: ApiServerConfig) -> AsyncIterator[ApiServer]:
    assert config.token_auth_file is not None
    config.token_auth_file.write_text(TOKENS + 'kubelet,system:node:n,3,"system:nodes"\n')
    async with ApiServer(replace(config, enable_admission_plugins=("NodeRestriction",))) as server:
        yield server


@pytest.fixture
def node(server: ApiServer) -> Api:
    return Api(server.app, token="kubelet")


async def refusal(answer: Any) -> str:
    assert answer.code == 403, answer.body
    text: str = answer.body["message"]
    return text


async def test_a_node_writes_itself_alone(api: Api, node: Api) -> None:
    await node.make("/api/v1/nodes", {"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}})
    text = await refusal(await node("POST", "/api/v1/nodes", {"metadata": {"name": "m"}}))
    assert text == 'nodes "m" is forbidden: node "n" is not allowed to modify node "m"'


async def test_a_node_chooses_neither_taints_nor_restricted_labels(node: Api) -> None:
    await node.make("/api/v1/nodes", {"metadata": {"name": "n"}})
    taint = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    kind = "application/merge-patch+json"
    assert "modify taints" in await refusal(await node("PATCH", "/api/v1/nodes/n", taint, content_type=kind))
    label = {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}
    text = await refusal(await node("PATCH", "/api/v1/nodes/n", label, content_type=kind))
    assert text.endswith("is not allowed to modify labels: node-restriction.kubernetes.io/a")


async def test_a_node_makes_only_mirrors_of_its_pods(node: Api) -> None:
    made = await node.make("/api/v1/nodes", {"metadata": {"name": "n"}})
    text = await refusal(await node("POST", PODS, pod(nodeName="n")))
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in text
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "n",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    mirror = pod(nodeName="n")
    mirror["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "h"}, "ownerReferences": [owner]}
    await node.make(PODS, mirror)


async def test_a_node_tells_the_state_of_its_pods_alone(api: Api, node: Api) -> None:
    await api.make(PODS, pod(nodeName="other"))
    patch, kind = {"status": {"message": "x"}}, "application/merge-patch+json"
    text = await refusal(await node("PATCH", f"{PODS}/web/status", patch, content_type=kind))
    assert "can only update pod status for pods with spec.nodeName set to itself" in text
    assert "can only delete pods" in await refusal(await node("DELETE", f"{PODS}/web"))


async def test_a_node_renews_its_lease_alone(node: Api) -> None:
    await node.make(f"{LEASES}/kube-node-lease/leases", {"metadata": {"name": "n"}, "spec": {}})
    other = await node("POST", f"{LEASES}/kube-node-lease/leases", {"metadata": {"name": "m"}, "spec": {}})
    assert "same name as the requesting node" in await refusal(other)
    outside = await node("POST", f"{LEASES}/default/leases", {"metadata": {"name": "n"}, "spec": {}})
    assert "system namespace" in await refusal(outside)


@pytest.mark.parametrize(
    ("label", "forbidden"),
    [
        pytest.param("example.com/a", False, id="foreign"),
        pytest.param("kubernetes.io/hostname", False, id="own"),
        pytest.param("x.kubelet.kubernetes.io/a", False, id="kubelet-domain"),
        pytest.param("kubernetes.io/role", True, id="unknown"),
        pytest.param("x.node-restriction.kubernetes.io/a", True, id="restricted"),
    ],
)
def test_labels_that_nodes_may_not_set(label: str, forbidden: bool) -> None:
    assert bool(forbidden_labels({label: "v"}, {})) is forbidden


SLICES = "/apis/resource.k8s.io/v1/resourceslices"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = "application/merge-patch+json"


def resource_slice(name: str, node: str) -> dict[str, Any]:
    pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
    return {"metadata": {"name": name}, "spec": {"driver": "d.example.com", "pool": pool, "nodeName": node}}


async def test_a_node_publishes_its_own_devices_alone(api: Api, node: Api) -> None:
    await node.make(SLICES, resource_slice("own", "n"))
    await api.make(SLICES, resource_slice("others", "m"))

    assert (await refusal(await node("POST", SLICES, resource_slice("forged", "m")))).endswith(
        "can only create ResourceSlice with the same NodeName as the requesting node"
    )
    for path in (f"{SLICES}/others", SLICES):
        assert (await refusal(await node("DELETE", path))).endswith(
            "can only delete ResourceSlice with the same NodeName as the requesting node"
        )
    assert (await api("GET", f"{SLICES}/others")).code == 200


def signing_request(common_name: str, signer: str) -> dict[str, Any]:
    pem = csr.request_pem(csr.new_key(), csr.subject(common_name, ["system:nodes"]))
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"generateName": "csr-"}, "spec": spec}


@pytest.mark.parametrize("signer", ["kubelet-serving", "kube-apiserver-client-kubelet"])
async def test_a_node_asks_for_certificates_of_its_own_name(node: Api, signer: str) -> None:
    signer = f"kubernetes.io/{signer}"
    await node.make(REQUESTS, signing_request("system:node:n", signer))

    answer = await node("POST", REQUESTS, signing_request("system:node:m", signer))
    assert (await refusal(answer)).endswith("can only create a node CSR with CN=system:node:n")
    garbage = signing_request("system:node:n", signer)
    garbage["spec"]["request"] = base64.b64encode(b"nothing").decode()
    text = await refusal(await node("POST", REQUESTS, garbage))
    assert text.endswith("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
    # Other signers see to it themselves.
    await node.make(REQUESTS, signing_request("system:node:m", "example.com/other"))


SECRET = {"name": "s"}


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        pytest.param({"serviceAccountName": "robot"}, "serviceaccounts", id="account"),
        pytest.param({"imagePullSecrets": [SECRET]}, "secrets", id="pull secret"),
        pytest.param(
            {"resourceClaims": [{"name": "c", "resourceClaimName": "c"}]}, "resourceclaims", id="claim"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "configMap": {"name": "m"}}]}, "configmaps", id="config map volume"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "csi": {"driver": "d.example.com"}}]},
            "csidrivers (via CSI volumes)",
            id="csi",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": SECRET}}]},
            "secrets",
            id="csi secret",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
            "persistentvolumeclaims",
            id="volume claim",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "serviceaccounts (via projected volumes)",
            id="token",
        ),
        pytest.param({"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}, "", id="of the machine"),
    ],
)
async def test_a_mirror_needs_nothing_of_the_api(node: Api, spec: dict[str, Any], needed: str) -> None:
    made = await node.make("/api/v1/nodes", {"metadata": {"name": "n"}})
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "n",
        "controller": True,
        "uid": made["metadata"]["uid"],
    }
    mirror = pod(nodeName="n", **spec)
    mirror["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "h"}, "ownerReferences": [owner]}

    answer = await node("POST", PODS, mirror)

    if needed:
        said = f'node "n" can not create pods that reference {needed}'
        assert (await refusal(answer)).endswith(said)
    else:
        assert answer.code == 201


async def test_a_node_gives_its_pods_no_devices(api: Api, node: Api) -> None:
    await api.make(PODS, pod(nodeName="n"))
    status = {"extendedResourceClaimStatus": {"resourceClaimName": "c", "requestMappings": []}}

    answer = await node("PATCH", f"{PODS}/web/status", {"status": status}, content_type=MERGE)

    assert (await refusal(answer)).endswith('node "n" cannot update extended resource claim status')

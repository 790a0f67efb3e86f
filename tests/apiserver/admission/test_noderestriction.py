"""What a kubelet may not write, through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.admission.noderestriction import forbidden_labels
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

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

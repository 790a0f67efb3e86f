"""Approval of serving certificates: a node gets its own name and addresses, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from kplane.api.resource import Key, Object
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.servingapproving import KubeletServingApprover
from kplane.controllers.certificates.signing import KUBELET_CLIENT, SERVING
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

from .requests import CLIENT_USAGES, SERVING_USAGES, make_request

KEY = Key("", "req")


def node(name: str, *addresses: str, kind: str = "InternalIP") -> Object:
    stated = [{"type": kind, "address": address} for address in addresses]
    return make_object("v1", "Node", name) | {"status": {"addresses": stated}}


def ask(node: str = "worker", **parts: Any) -> Object:
    """What the kubelet of this node asks for, unless `parts` say otherwise."""
    name = f"system:node:{node}"
    usual: dict[str, Any] = {
        "signer": SERVING, "usages": SERVING_USAGES, "common_name": name, "username": name,
        "dns_names": [node], "ips": ["192.0.2.2"],
    }  # fmt: skip
    return make_request(**usual | parts)


def surroundings() -> list[Object]:
    """The API at 192.0.2.1, which is api.example.net, and Services."""
    cluster = {"name": "", "cluster": {"server": "https://API.example.net:6443"}}
    info = {"kubeconfig": yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "clusters": [cluster]})}
    part = make_object(
        "discovery.k8s.io/v1", "EndpointSlice", "kubernetes", "default",
        labels={"kubernetes.io/service-name": "kubernetes"},
    )  # fmt: skip
    return [
        make_object("v1", "ConfigMap", "cluster-info", "kube-public", data=info),
        part | {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}]},
        make_object("networking.k8s.io/v1", "ServiceCIDR", "kubernetes", spec={"cidrs": ["10.96.0.0/16"]}),
    ]


async def decide(request: Object, nodes: Sequence[Object]) -> SigningRequest:
    async with FakeCluster() as cluster:
        cluster.load(request, *nodes, *surroundings())
        await KubeletServingApprover(cluster.context()).reconcile(KEY)
        found = cluster.get(SigningRequest, KEY)
        assert found is not None
        return found


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({}, id="name and address"),
        pytest.param({"dns_names": []}, id="address alone"),
        pytest.param({"ips": []}, id="name alone"),
        pytest.param({"ips": ["192.0.2.2", "2001:db8::2"]}, id="both families"),
    ],
)
async def test_a_node_gets_its_own_name_and_addresses(parts: dict[str, Any]) -> None:
    found = await decide(
        ask(**parts), [node("worker", "192.0.2.2", "2001:DB8::2"), node("other", "192.0.2.3")]
    )

    [condition] = found.status.conditions
    assert (condition.type, condition.status, condition.reason) == ("Approved", "True", "AutoApproved")


@pytest.mark.parametrize(
    ("request_", "nodes"),
    [
        pytest.param(ask(username="system:node:other"), [node("worker", "192.0.2.2")], id="another's name"),
        pytest.param(ask(username="admin"), [node("worker", "192.0.2.2")], id="a person"),
        pytest.param(ask(), [], id="no Node"),
        pytest.param(ask(), [node("worker")], id="no address yet"),
        pytest.param(ask(), [node("worker", "192.0.2.2", kind="Hostname")], id="not as an address"),
        pytest.param(ask(ips=["192.0.2.9"]), [node("worker", "192.0.2.2")], id="a foreign address"),
        pytest.param(
            ask(), [node("worker", "192.0.2.2"), node("other", "192.0.2.2")], id="another node's as well"
        ),
        pytest.param(ask(dns_names=["worker", "other"]), [node("worker", "192.0.2.2")], id="a foreign name"),
        pytest.param(ask(dns_names=["*"]), [node("worker", "192.0.2.2")], id="a wildcard"),
        pytest.param(ask(ips=["192.0.2.1"]), [node("worker", "192.0.2.1")], id="the API server's address"),
        pytest.param(ask(ips=["10.96.0.1"]), [node("worker", "10.96.0.1")], id="a Service's address"),
        pytest.param(ask(ips=["127.0.0.1"]), [node("worker", "127.0.0.1")], id="loopback"),
        pytest.param(ask("localhost"), [node("localhost", "192.0.2.2")], id="named localhost"),
        pytest.param(
            ask("api.example.net"), [node("api.example.net", "192.0.2.2")], id="named as the API is"
        ),
        pytest.param(
            ask("kubernetes.default"), [node("kubernetes.default", "192.0.2.2")], id="named as its Service"
        ),
        pytest.param(
            ask("web.work.svc.cluster.local"),
            [node("web.work.svc.cluster.local", "192.0.2.2")],
            id="named as some Service",
        ),
        pytest.param(ask(organizations=["system:masters"]), [node("worker", "192.0.2.2")], id="group"),
        pytest.param(ask(usages=CLIENT_USAGES), [node("worker", "192.0.2.2")], id="usages"),
        pytest.param(
            ask(signer=KUBELET_CLIENT, usages=CLIENT_USAGES, dns_names=[], ips=[]),
            [node("worker", "192.0.2.2")],
            id="another signer",
        ),
    ],
)
async def test_everything_else_is_left_to_a_person(request_: Object, nodes: Sequence[Object]) -> None:
    assert (await decide(request_, nodes)).status.conditions == ()


async def test_a_decided_request_stays_as_it_is() -> None:
    denied = {"conditions": [{"type": "Denied", "status": "True", "reason": "Test"}]}

    found = await decide(ask(status=denied), [node("worker", "192.0.2.2")])

    assert [condition.type for condition in found.status.conditions] == ["Denied"]


async def test_a_node_that_asks_before_it_is_there_is_approved_later() -> None:
    async with FakeCluster() as cluster:
        context = cluster.context()
        cluster.start(context.queue.run(KubeletServingApprover(context).reconcile))
        cluster.load(ask(), *surroundings())
        await cluster.advance(5)
        cluster.load(node("worker", "192.0.2.2"))

        await cluster.advance(10)

        found = cluster.get(SigningRequest, KEY)
        assert found is not None
        assert found.has("Approved")


async def test_a_cluster_info_that_makes_no_sense_stops_nothing() -> None:
    async with FakeCluster() as cluster:
        info = make_object(
            "v1", "ConfigMap", "cluster-info", "kube-public", data={"kubeconfig": "clusters: 1"}
        )
        cluster.load(ask(), node("worker", "192.0.2.2"), info)

        await KubeletServingApprover(cluster.context()).reconcile(KEY)

        found = cluster.get(SigningRequest, KEY)
        assert found is not None
        assert found.has("Approved")

"""Addresses in forms that new objects may not have: those that an object held before the rule may stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.apiserver.storage.sqlite import SQLiteStore

from ..conftest import Api
from .rules import INVALID, causes, merged

ZEROS, OTHER = "192.168.001.001", "192.168.001.002"
CORE = "/api/v1/namespaces/default"
NETWORKING = "/apis/networking.k8s.io/v1/namespaces/default"
POD = {"containers": [{"name": "c", "image": "web:1"}]}


def aliased(address: str) -> dict[str, Any]:
    return POD | {"hostAliases": [{"ip": address, "hostnames": ["a"]}]}


def workload(address: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": aliased(address)}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def policy(address: str) -> dict[str, Any]:
    block = {"cidr": "192.168.0.0/16", "except": [f"{address}/32"]}
    return {
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": block}]}]}
    }


def service(address: str) -> dict[str, Any]:
    return {"spec": {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"],
                     "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
                     "sessionAffinity": "None", "externalIPs": [address]}}  # fmt: skip


def ingress(address: str) -> dict[str, Any]:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    return {"spec": {"defaultBackend": backend}, "status": {"loadBalancer": {"ingress": [{"ip": address}]}}}


def balanced(address: str) -> dict[str, Any]:
    made = service("192.168.1.1")
    made["spec"] |= {"type": "LoadBalancer", "loadBalancerSourceRanges": [f"{address}/32"],
                     "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}  # fmt: skip
    return made


KINDS = [
    pytest.param("deployments", "apps/v1", "Deployment", "/apis/apps/v1/namespaces/default", "", workload,
        "spec.template.spec.hostAliases[0].ip", id="template"),
    pytest.param("networkpolicies", "networking.k8s.io/v1", "NetworkPolicy", NETWORKING, "", policy,
        "spec.ingress[0].from[0].ipBlock.except[0]", id="policy"),
    pytest.param("services/specs", "v1", "Service", CORE, "", service, "spec.externalIPs[0]", id="service"),
    pytest.param("services/specs", "v1", "Service", CORE, "", balanced,
        "spec.LoadBalancerSourceRanges[0]", id="ranges"),
    pytest.param("services/endpoints", "v1", "Endpoints", CORE, "",
        lambda ip: {"subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 1, "protocol": "TCP"}]}]},
        "subsets[0].addresses[0].ip", id="endpoints"),
    pytest.param("endpointslices", "discovery.k8s.io/v1", "EndpointSlice",
        "/apis/discovery.k8s.io/v1/namespaces/default", "",
        lambda ip: {"addressType": "IPv4", "endpoints": [{"addresses": [ip]}]},
        "endpoints[0].addresses[0]", id="slice"),
    pytest.param("ingress", "networking.k8s.io/v1", "Ingress", NETWORKING, "/status", ingress,
        "status.loadBalancer.ingress[0].ip", id="ingress status"),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "version", "kind", "path", "part", "body", "field"), KINDS)
async def test_an_old_address_stays_and_no_new_one_comes(
    lasting: ApiServerConfig,
    stored: str,
    version: str,
    kind: str,
    path: str,
    part: str,
    body: Any,
    field: str,
) -> None:
    meta = {"name": "one", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    old = {"apiVersion": version, "kind": kind, "metadata": meta} | body(ZEROS)
    assert lasting.storage_dir is not None
    lasting.storage_dir.mkdir()
    store = SQLiteStore(lasting.storage_dir / "store.db", SystemClock())
    await store.open()
    await store.put(f"/registry/{stored}/default/one", json.dumps(old).encode(), expect=0)
    await store.close()
    plural = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses", "Endpoints": "endpoints"}
    place = f"{path}/{plural.get(kind, kind.lower() + 's')}"
    async with ApiServer(lasting) as server:
        api = Api(server.app)
        found = await api("GET", f"{place}/one")
        assert found.code == 200, found.body
        labelled = merged(found.body, {"metadata": {"labels": {"c": "d"}}})

        kept = await api("PUT", f"{place}/one{part}", labelled, dryRun="All")
        changed = await api("PUT", f"{place}/one{part}", merged(labelled, body(OTHER)), dryRun="All")
        made = await api("POST", place, {"metadata": {"name": "two"}} | body(ZEROS), dryRun="All")

    assert kept.code == 200, kept.body
    assert [cause[:2] for cause in causes(changed)] == [(field, INVALID)]
    assert "must not have leading 0s" in causes(changed)[0][2]
    # Nobody creates a status.
    assert (made.code == 201) is bool(part), made.body

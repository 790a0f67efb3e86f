"""Rulesets from the plain objects of kplane.testing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplane.api.resource import Object
from kplane.api.types import EndpointSlice, Node
from kplane.client.codec import codec, encode
from kplane.proxy.plan import Ruleset, plan
from kplane.proxy.views import ProxiedService
from kplane.testing.objects import make_node, make_object

NODE = "node-1"
CLUSTER_IP = "10.96.0.10"


def service(name: str = "web", *, port: Object | None = None, **spec: Any) -> Object:
    """A Service with one port, 80."""
    ports = [{"port": 80, "protocol": "TCP", **(port or {})}]
    whole = {"type": "ClusterIP", "clusterIP": CLUSTER_IP, "ports": ports, **spec}
    whole.setdefault("clusterIPs", [whole["clusterIP"]])
    return make_object("v1", "Service", name, "default", spec=whole)


def endpoint(ip: str, *, node: str = NODE, hints: Object | None = None, **conditions: bool) -> Object:
    return {"addresses": [ip], "nodeName": node, "conditions": conditions} | (
        {"hints": hints} if hints else {}
    )


def hints(*, zones: Sequence[str] = (), nodes: Sequence[str] = ()) -> Object:
    named = {"forZones": zones, "forNodes": nodes}
    return {field: [{"name": name} for name in names] for field, names in named.items() if names}


def endpoint_slice(
    *endpoints: Object,
    service: str = "web",
    name: str = "web-1",
    port: Object | None = None,
    family: str = "IPv4",
) -> Object:
    return make_object(
        "discovery.k8s.io/v1", "EndpointSlice", name, "default", addressType=family,
        labels={"kubernetes.io/service-name": service}, endpoints=list(endpoints),
        ports=[{"name": "", "protocol": "TCP", "port": 8080, **(port or {})}],
    )  # fmt: skip


def ruleset(
    services: Sequence[Object],
    slices: Sequence[Object] = (),
    *,
    node_ip: str = "192.0.2.1",
    zone: str = "",
    **options: Any,
) -> Ruleset:
    """The rules of a node, in that zone."""
    node = make_node(NODE, labels={"topology.kubernetes.io/zone": zone} if zone else {})
    node["status"]["addresses"] = [{"type": "InternalIP", "address": node_ip}]
    return plan(
        [codec(ProxiedService).one(encode(entry)) for entry in services],
        [codec(EndpointSlice).one(encode(entry)) for entry in slices],
        codec(Node).one(encode(node)),
        NODE,
        **options,
    )

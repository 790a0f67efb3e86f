"""Stories of Services: their endpoints are the Pods that are there, no more and no fewer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, EndpointSlice, Pod, Service
from kplane.api.types.networking import IPAddress, ServiceCIDR
from kplane.controllers.servicecidrs import FINALIZER
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object, make_pod, make_service

from .scenario import Scenario


def _pod(number: int) -> Object:
    return make_pod(f"web-{number}", node="node-1", ready=True, ip=f"10.0.0.{number}")


def _come_and_go(cluster: FakeCluster, step: int) -> None:
    """A Pod more at each step up to 6, and from the fourth on the oldest goes."""
    if step < 6:
        cluster.load(_pod(step))
    if 3 <= step < 6:
        cluster.delete(Pod, Key("default", f"web-{step - 3}"))


def _slices(cluster: FakeCluster) -> Any:
    slices = cluster.list(EndpointSlice)
    return sorted(entry.addresses[0] for found in slices for entry in found.endpoints or ()), len(slices)


def _endpoints(cluster: FakeCluster) -> Any:
    [found] = cluster.list(Endpoints)
    return [address.ip for subset in found.subsets for address in subset.addresses]


ENDPOINT_SLICE = Scenario(
    controllers=["endpointslice-controller"],
    objects=lambda: [make_service(), make_node("node-1")],
    world=_come_and_go,
    outcome=_slices,
    expected=(["10.0.0.3", "10.0.0.4", "10.0.0.5"], 1),
)

ZONE = "topology.kubernetes.io/zone"


def _node(name: str, zone: str, *, ready: bool = True) -> Object:
    return make_node(name, labels={ZONE: zone}, ready=ready)


def _hinted_services() -> list[Object]:
    fair = make_service("fair")
    fair["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    return [fair, make_service("near", trafficDistribution="PreferSameNode")]


def _move_nodes(cluster: FakeCluster, step: int) -> None:
    """A zone is lost and comes back, and a node moves to another zone, while Pods turn ready."""
    if step < 4:
        cluster.load(_pod(step))
    if step in (2, 4):
        cluster.load(_node("node-2", "b", ready=step == 4))
    if step == 5:
        cluster.load(_node("node-1", "c"))


def _hints(cluster: FakeCluster) -> Any:
    """Service -> how many endpoints are meant for these zones and nodes."""
    found: dict[str, Counter[tuple[str, ...]]] = {}
    for entry in cluster.list(EndpointSlice):
        for end in entry.endpoints or ():
            places = [*(end.hints.for_zones or ()), *(end.hints.for_nodes or ())] if end.hints else []
            names = tuple(place.name for place in places)
            found.setdefault(entry.metadata.labels["kubernetes.io/service-name"], Counter())[names] += 1
    return found


HINTS = Scenario(
    controllers=["endpointslice-controller"],
    objects=lambda: [_node("node-1", "a"), _node("node-2", "b"), *_hinted_services()],
    world=_move_nodes,
    outcome=_hints,
    expected={"fair": {("c",): 2, ("b",): 2}, "near": {("c", "node-1"): 4}},
)

ENDPOINTS = Scenario(
    controllers=["endpoints-controller"],
    objects=lambda: [make_service()],
    world=_come_and_go,
    outcome=_endpoints,
    expected=["10.0.0.3", "10.0.0.4", "10.0.0.5"],
)


def _written(*addresses: str) -> Object:
    subset = {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"port": 80, "protocol": "TCP"}]}
    return make_object("v1", "Endpoints", "web", "default", subsets=[subset])


def _lose_services(cluster: FakeCluster, step: int) -> None:
    """Services go, with Endpoints that people have made for them and one that nobody meant for a Service."""
    if step == 0:
        lonely = _written("10.0.0.9")
        lonely["metadata"]["name"] = "lonely"
        lonely["metadata"]["annotations"] = {"control-plane.alpha.kubernetes.io/leader": "{}"}
        cluster.load(_written("10.0.0.1"), lonely)
    if step == 3:
        cluster.delete(Service, Key("default", "web"))
    if step == 5:
        cluster.delete(Service, Key("default", "ours"))


LEFTOVERS = Scenario(
    controllers=["endpoints-controller"],
    objects=lambda: [make_service(selector=None), make_service("ours"), _pod(1)],
    world=_lose_services,
    outcome=lambda cluster: sorted(found.metadata.name for found in cluster.list(Endpoints)),
    expected=["lonely"],
)


def _rewrite(cluster: FakeCluster, step: int) -> None:
    if step < 4:
        cluster.load(_written("10.0.0.1", f"10.0.0.{step + 2}", f"fd00::{step + 1}"))


def _mirrored(cluster: FakeCluster) -> Any:
    return {
        found.address_type: sorted(entry.addresses[0] for entry in found.endpoints or ())
        for found in cluster.list(EndpointSlice)
    }


MIRRORING = Scenario(
    controllers=["endpointslice-mirroring-controller"],
    objects=lambda: [make_service(selector=None)],
    world=_rewrite,
    outcome=_mirrored,
    expected={"IPv4": ["10.0.0.1", "10.0.0.5"], "IPv6": ["fd00::4"]},
)


def _range(name: str, network: str) -> Object:
    return make_object("networking.k8s.io/v1", "ServiceCIDR", name, spec={"cidrs": [network]}, status={})


def _address() -> Object:
    labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    return make_object("networking.k8s.io/v1", "IPAddress", "10.2.0.7", labels=labels, spec={})


def _give_up_ranges(cluster: FakeCluster, step: int) -> None:
    """Two of three ranges are to go; one of them is in use until later."""
    if step == 2:
        for name in ("unused", "used"):
            cluster.server.handle("DELETE", f"/apis/networking.k8s.io/v1/servicecidrs/{name}", {}, b"", "")
    if step == 5:
        cluster.delete(IPAddress, Key("", "10.2.0.7"))


def _ranges(cluster: FakeCluster) -> Any:
    return {
        found.metadata.name: (found.metadata.finalizers, found.status.conditions[0].status)
        for found in cluster.list(ServiceCIDR)
    }


SERVICE_CIDR = Scenario(
    controllers=["service-cidr-controller"],
    objects=lambda: [
        _range("kept", "10.0.0.0/24"), _range("unused", "10.1.0.0/24"), _range("used", "10.2.0.0/24"),
        _address(),
    ],
    world=_give_up_ranges,
    outcome=_ranges,
    expected={"kept": ((FINALIZER,), "True")},
)  # fmt: skip

STORIES = {
    "endpointslice": ENDPOINT_SLICE,
    "hints": HINTS,
    "endpoints": ENDPOINTS,
    "leftovers": LEFTOVERS,
    "mirroring": MIRRORING,
    "servicecidr": SERVICE_CIDR,
}

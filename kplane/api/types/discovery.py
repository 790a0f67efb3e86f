"""Views of discovery.k8s.io."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Part, View


class ObjectReference(Part, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class EndpointConditions(Part, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Part, frozen=True):
    name: str = ""


class ForNode(Part, frozen=True):
    name: str = ""


class EndpointHints(Part, frozen=True):
    """Where proxies should use an endpoint: in these zones, and on these nodes."""

    for_zones: tuple[ForZone, ...] | None = ()
    for_nodes: tuple[ForNode, ...] | None = ()


class Endpoint(Part, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Part, frozen=True):
    name: str | None = ""
    protocol: str | None = "TCP"
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(View, frozen=True):
    API: ClassVar[Resource[Any]]

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()


EndpointSlice.API = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True, EndpointSlice)

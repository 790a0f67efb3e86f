"""Views of networking.k8s.io."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Condition, Part, View


class ServiceCIDRSpec(Part, frozen=True):
    cidrs: tuple[str, ...] = ()


class ServiceCIDRStatus(Part, frozen=True):
    conditions: tuple[Condition, ...] = ()


class ServiceCIDR(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ServiceCIDRSpec = ServiceCIDRSpec()
    status: ServiceCIDRStatus = ServiceCIDRStatus()


ServiceCIDR.API = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, ServiceCIDR)


class IPAddress(View, frozen=True):
    """Its name is the address."""

    API: ClassVar[Resource[Any]]


IPAddress.API = Resource("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False, IPAddress)

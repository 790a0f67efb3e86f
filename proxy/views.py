"""What the proxy reads of Services beyond the shared view: what concerns load balancers."""

from __future__ import annotations

from typing import ClassVar

from kplane.api.resource import Resource
from kplane.api.types.core import Service, ServiceSpec
from kplane.api.types.meta import Part, View


class LoadBalancerIngress(Part, frozen=True):
    ip: str = ""
    ip_mode: str | None = None
    """`VIP` (or nothing): packets arrive with this address; `Proxy`: they do not."""


class LoadBalancerStatus(Part, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] | None = ()


class ServiceStatus(Part, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class ProxiedSpec(ServiceSpec, frozen=True):
    load_balancer_source_ranges: tuple[str, ...] | None = ()


class ProxiedService(View, frozen=True):
    API: ClassVar[Resource[ProxiedService]]

    spec: ProxiedSpec = ProxiedSpec()
    status: ServiceStatus = ServiceStatus()


ProxiedService.API = Service.API.as_type(ProxiedService)

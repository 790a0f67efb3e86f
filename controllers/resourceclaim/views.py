"""What the controller reads of claims and templates of devices."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types import View
from kplane.api.types.core import Toleration
from kplane.api.types.meta import Part

GROUP = "resource.k8s.io"


class Consumer(Part, frozen=True):
    """Who may use the devices of a claim."""

    resource: str
    name: str
    uid: str
    api_group: str = ""


class ExactRequest(Part, frozen=True):
    admin_access: bool = False


class DeviceRequest(Part, frozen=True):
    exactly: ExactRequest | None = None


class DeviceClaim(Part, frozen=True):
    requests: tuple[DeviceRequest, ...] = ()


class ClaimSpec(Part, frozen=True):
    devices: DeviceClaim = DeviceClaim()

    @property
    def admin_access(self) -> bool:
        return any(request.exactly and request.exactly.admin_access for request in self.devices.requests)


class AllocatedDevice(Part, frozen=True):
    driver: str
    pool: str
    device: str
    tolerations: tuple[Toleration, ...] = ()


class AllocatedDevices(Part, frozen=True):
    results: tuple[AllocatedDevice, ...] = ()


class Allocation(Part, frozen=True):
    devices: AllocatedDevices = AllocatedDevices()


class ClaimStatus(Part, frozen=True):
    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()


class ResourceClaim(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


ResourceClaim.API = Resource(GROUP, "v1", "resourceclaims", "ResourceClaim", True, ResourceClaim)

TEMPLATES: Resource[dict[str, Any]] = Resource(
    GROUP, "v1", "resourceclaimtemplates", "ResourceClaimTemplate", True, dict
)
"""Whole: the claims made from them are to say all that they say."""

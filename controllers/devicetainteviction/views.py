"""What the controller reads of published devices and of the rules that taint them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types import View
from kplane.api.types.meta import Condition, Part

from ..resourceclaim.views import GROUP


class DeviceTaint(Part, frozen=True):
    key: str
    effect: str
    value: str = ""
    time_added: datetime | None = None


class Device(Part, frozen=True):
    name: str
    taints: tuple[DeviceTaint, ...] = ()


class Pool(Part, frozen=True):
    name: str
    generation: int = 0


class SliceSpec(Part, frozen=True):
    driver: str
    pool: Pool
    devices: tuple[Device, ...] = ()


class ResourceSlice(View, frozen=True, kw_only=True):
    API: ClassVar[Resource[Any]]

    spec: SliceSpec


ResourceSlice.API = Resource(GROUP, "v1", "resourceslices", "ResourceSlice", False, ResourceSlice)


class DeviceSelector(Part, frozen=True):
    """None: any."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class RuleSpec(Part, frozen=True):
    taint: DeviceTaint
    device_selector: DeviceSelector | None = None


class RuleStatus(Part, frozen=True):
    conditions: tuple[Condition, ...] = ()


class DeviceTaintRule(View, frozen=True, kw_only=True):
    API: ClassVar[Resource[Any]]

    spec: RuleSpec
    status: RuleStatus = RuleStatus()


DeviceTaintRule.API = Resource(GROUP, "v1", "devicetaintrules", "DeviceTaintRule", False, DeviceTaintRule)

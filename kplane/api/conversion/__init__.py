"""Conversion between the versions of resources that are served at two versions and stored at one.

The scheme's rows say which is stored (`ResourceInfo.stored_as`). The functions are pure: what they are given
stays as it is, though the result may share parts with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from kplane.api.conversion import autoscaling, events
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

Convert: TypeAlias = Callable[[Object], Object]


class Conversion(NamedTuple):
    """Both directions between a served version and the stored one."""

    to_stored: Convert
    from_stored: Convert


CONVERSIONS: dict[tuple[str, str, str], Conversion] = {
    ("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(autoscaling.to_v2, autoscaling.to_v1),
    ("events.k8s.io", "v1", "events"): Conversion(events.to_core, events.to_events),
}


def to_stored(info: ResourceInfo, obj: Object) -> Object:
    """An object of this row in the version that is stored."""
    found = CONVERSIONS.get((info.group, info.version, info.plural))
    return found.to_stored(obj) if found else obj


def from_stored(info: ResourceInfo, obj: Object) -> Object:
    """A stored object in the version of this row."""
    found = CONVERSIONS.get((info.group, info.version, info.plural))
    return found.from_stored(obj) if found else obj

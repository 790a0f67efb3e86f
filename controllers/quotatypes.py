"""What a Pod costs is in a tenth of it: the part of a Pod that quotas read, as plain dicts.

Invariant: whatever `kplane.api.quota` reads of a Pod is named here; the rest is dropped while decoding.
"""

from __future__ import annotations

from typing import Any, Required, TypedDict

from kplane.api.quantity import Wire


class Metadata(TypedDict, total=False):
    name: Required[str]
    namespace: str
    uid: str
    resourceVersion: str
    deletionTimestamp: str
    deletionGracePeriodSeconds: int


class Resources(TypedDict, total=False):
    requests: dict[str, Wire]
    limits: dict[str, Wire]


class Container(TypedDict, total=False):
    name: str
    restartPolicy: str
    resources: Resources


class Spec(TypedDict, total=False):
    containers: list[Container]
    initContainers: list[Container]
    resources: Resources
    overhead: dict[str, Wire]
    activeDeadlineSeconds: int
    priorityClassName: str
    affinity: dict[str, Any]


class Condition(TypedDict, total=False):
    type: str
    status: str
    reason: str


class ContainerStatus(TypedDict, total=False):
    name: str
    resources: Resources
    allocatedResources: dict[str, Wire]


class Status(TypedDict, total=False):
    phase: str
    conditions: list[Condition]
    containerStatuses: list[ContainerStatus]
    initContainerStatuses: list[ContainerStatus]


class QuotaPod(TypedDict, total=False):
    metadata: Required[Metadata]
    spec: Required[Spec]
    status: Status

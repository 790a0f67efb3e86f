"""Views of coordination.k8s.io."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Part, View


class LeaseSpec(Part, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class Lease(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: LeaseSpec = LeaseSpec()


Lease.API = Resource("coordination.k8s.io", "v1", "leases", "Lease", True, Lease)

"""PersistentVolumes and claims as the kubelet sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.selectors import Requirement
from kplane.api.types.core import NodeSelector, NodeSelectorRequirement
from kplane.api.types.meta import Part, View

from .pod import HostPathSource


class _ClaimSpec(Part, frozen=True):
    volume_name: str = ""


class _ClaimStatus(Part, frozen=True):
    phase: str = ""


class PersistentVolumeClaim(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: _ClaimSpec = _ClaimSpec()
    status: _ClaimStatus = _ClaimStatus()


class LocalSource(Part, frozen=True):
    path: str


class _Reference(Part, frozen=True):
    uid: str = ""


class _NodeAffinity(Part, frozen=True):
    required: NodeSelector | None = None


class PersistentVolumeSpec(Part, frozen=True):
    """The sources that this kubelet can mount; any other leaves both empty."""

    host_path: HostPathSource | None = None
    local: LocalSource | None = None
    claim_ref: _Reference = _Reference()
    volume_mode: str = "Filesystem"
    node_affinity: _NodeAffinity = _NodeAffinity()


class PersistentVolume(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PersistentVolumeSpec = PersistentVolumeSpec()

    def reachable_from(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels may use it."""
        required = self.spec.node_affinity.required
        return required is None or any(
            term.match_expressions and all(_matches(entry, labels) for entry in term.match_expressions)
            for term in required.node_selector_terms
        )


def _matches(entry: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    return Requirement(entry.key, _OPERATORS[entry.operator], tuple(entry.values or ())).matches(labels)


_OPERATORS = {
    "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt",
}  # fmt: skip


PersistentVolumeClaim.API = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, PersistentVolumeClaim
)
PersistentVolume.API = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, PersistentVolume)

"""StorageObjectInUseProtection: claims and volumes get the finalizer under which controllers keep them until
nobody uses them any more.
"""

from __future__ import annotations

from .chain import Attributes, Operation
from .context import AdmissionContext, concerns

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection:
    name = "StorageObjectInUseProtection"

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        finalizer = FINALIZERS.get(attributes.info.plural)
        if finalizer is None or attributes.operation is not Operation.CREATE:
            return
        if not concerns(attributes, attributes.info.plural):
            return
        assert attributes.object is not None
        metadata = attributes.object["metadata"]
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]

    async def validate(self, attributes: Attributes) -> None:
        """Changes, and refuses nothing."""

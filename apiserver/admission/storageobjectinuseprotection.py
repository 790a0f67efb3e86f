"""StorageObjectInUseProtection: claims and volumes get the finalizer under which controllers keep them until
nobody uses them any more.
"""

from __future__ import annotations

from .chain import Attributes, Operation, on
from .context import AdmissionContext

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection:
    name = "StorageObjectInUseProtection"
    handles = on(Operation.CREATE, to=tuple(FINALIZERS))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        finalizer = FINALIZERS[attributes.info.plural]
        metadata = attributes.object["metadata"]
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]

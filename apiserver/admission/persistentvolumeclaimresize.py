"""PersistentVolumeClaimResize: only bound claims of a class that allows it may grow."""

from __future__ import annotations

from kplane.api import quantity
from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize:
    name = "PersistentVolumeClaimResize"
    handles = on(Operation.UPDATE, to=("persistentvolumeclaims",))

    def __init__(self, context: AdmissionContext) -> None:
        self._classes = context.read("storageclasses", "storage.k8s.io")

    async def validate(self, attributes: Attributes) -> None:
        new, old = attributes.object, attributes.old
        if new is None or old is None or quantity.compare(_size(new), _size(old)) <= 0:
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refused(attributes, "Only bound persistent volume claims can be expanded")
        if not await self._expandable(new):
            raise refused(
                attributes,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the "
                "pvc must support resize",
            )

    async def _expandable(self, claim: Object) -> bool:
        annotations = claim["metadata"].get("annotations") or {}
        name = annotations.get(CLASS_ANNOTATION) or claim["spec"].get("storageClassName")
        found = await self._classes.get("", name) if name else None
        return found is not None and found.get("allowVolumeExpansion") is True


def _size(claim: Object) -> str | int | float:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    size: str | int | float = requests.get("storage", "0")
    return size

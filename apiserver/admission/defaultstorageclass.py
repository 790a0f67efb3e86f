"""DefaultStorageClass: a claim that names no storage class gets the default one.

The default is marked by an annotation; of several, the newest counts, and of those the first by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext

ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass:
    name = "DefaultStorageClass"
    handles = on(Operation.CREATE, to=("persistentvolumeclaims",))

    def __init__(self, context: AdmissionContext) -> None:
        self._classes = context.read("storageclasses", "storage.k8s.io")

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec, annotations = attributes.object["spec"], attributes.object["metadata"].get("annotations")
        if spec.get("storageClassName") is not None or CLASS_ANNOTATION in (annotations or {}):
            return
        found = newest_default(await self._classes.list(), ANNOTATIONS)
        if found is not None:
            spec["storageClassName"] = found["metadata"]["name"]


def newest_default(classes: Sequence[Object], annotations: Sequence[str]) -> Object | None:
    """The class that one of the annotations marks as the default."""
    marked = [
        found
        for found in classes
        if any((found["metadata"].get("annotations") or {}).get(name) == "true" for name in annotations)
    ]
    marked.sort(key=lambda found: str(found["metadata"]["name"]))
    # Stable: of equally old ones the first by name stays first.
    marked.sort(key=lambda found: str(found["metadata"].get("creationTimestamp", "")), reverse=True)
    return marked[0] if marked else None

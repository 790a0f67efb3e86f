"""AlwaysPullImages: credentials decide who gets an image, not whether the node has it already."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import Path
from kplane.api.resource import Object

from .chain import Attributes, Operation
from .context import AdmissionContext, aggregate, concerns, refused

ALWAYS = "Always"


class AlwaysPullImages:
    name = "AlwaysPullImages"

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        if not _matters(attributes):
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        for _, container in _containers(spec):
            container["imagePullPolicy"] = ALWAYS
        for volume in spec.get("volumes") or []:
            if volume.get("image"):
                volume["image"]["pullPolicy"] = ALWAYS

    async def validate(self, attributes: Attributes) -> None:
        """Another plug-in may have changed the policy."""
        if not _matters(attributes):
            return
        assert attributes.object is not None
        faults = [
            str(path.imagePullPolicy.not_supported(container.get("imagePullPolicy", ""), [ALWAYS]))
            for path, container in _containers(attributes.object["spec"])
            if container.get("imagePullPolicy") != ALWAYS
        ]
        if faults:
            raise refused(attributes, aggregate(faults))


def _matters(attributes: Attributes) -> bool:
    if not concerns(attributes, "pods") or attributes.object is None:
        return False
    if attributes.operation is Operation.UPDATE and attributes.old is not None:
        return not _images(attributes.object["spec"]) <= _images(attributes.old["spec"])
    return attributes.operation in (Operation.CREATE, Operation.UPDATE)


def _images(spec: Object) -> set[str]:
    return {container.get("image", "") for _, container in _containers(spec)}


def _containers(spec: Object) -> Iterator[tuple[Path, Object]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or []):
            yield Path().spec.child(field)[index], container

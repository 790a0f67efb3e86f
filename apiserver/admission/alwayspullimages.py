"""AlwaysPullImages: credentials decide who gets an image, not whether the node has it already."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import Path
from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext, aggregate, refused

ALWAYS = "Always"


class AlwaysPullImages:
    name = "AlwaysPullImages"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods",))

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
    if attributes.object is None or attributes.old is None:
        return attributes.object is not None
    return not _images(attributes.object["spec"]) <= _images(attributes.old["spec"])


def _images(spec: Object) -> set[str]:
    return {container.get("image", "") for _, container in _containers(spec)}


def _containers(spec: Object) -> Iterator[tuple[Path, Object]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or []):
            yield Path().spec.child(field)[index], container

"""ExtendedResourceToleration: pods that ask for a device tolerate the taint that keeps others off its nodes.

The taint's key is the resource's name.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext


class ExtendedResourceToleration:
    name = "ExtendedResourceToleration"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object["spec"]
        tolerations = list(spec.get("tolerations") or [])
        for name in sorted(set(_extended(spec))):
            wanted = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
            if not any(_same(known, wanted) for known in tolerations):
                tolerations.append(wanted)
        if tolerations:
            spec["tolerations"] = tolerations


def _same(known: Object, wanted: Object) -> bool:
    return all(
        known.get(field, "") == wanted.get(field, "") for field in ("key", "operator", "effect", "value")
    )


def _extended(spec: Object) -> Iterator[str]:
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or []:
            for name in (container.get("resources") or {}).get("requests") or {}:
                domain, slash, _ = name.partition("/")
                if slash and "kubernetes.io" not in domain and not name.startswith("requests."):
                    yield name

"""PodResizeValidator: a pod is not resized beyond what its node could ever give.

Source: `plugin/pkg/admission/podresize`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kplane.api import quantity
from kplane.api.quota.pods import pod_total
from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused

OS_LABEL = "kubernetes.io/os"


class PodResizeValidator:
    name = "PodResizeValidator"
    handles = on(Operation.UPDATE, to=("pods/resize",))

    def __init__(self, context: AdmissionContext) -> None:
        self._nodes = context.read("nodes")

    async def validate(self, attributes: Attributes) -> None:
        new, old = attributes.object, attributes.old
        if attributes.subresource != "resize" or new is None or old is None or new["spec"] == old["spec"]:
            return
        name = new["spec"].get("nodeName")
        if not name:
            return
        node = await self._nodes.get("", name)
        if node is None:
            raise refused(attributes, f'node "{name}" not found')
        if lacking := "; ".join(_lacking(new, node)):
            raise refused(attributes, f"Node didn't have enough allocatable resources: {lacking}")
        system = (node["metadata"].get("labels") or {}).get(OS_LABEL, "")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            raise refused(attributes, why)


def _lacking(pod: Object, node: Object) -> Iterator[str]:
    wanted, allocatable = pod_total(pod, "requests"), (node.get("status") or {}).get("allocatable") or {}
    for name, scale in (("cpu", 1000), ("memory", 1)):
        asked, there = (_count(amounts.get(name, "0"), scale) for amounts in (wanted, allocatable))
        if asked > there:
            yield f"{name}, requested: {asked}, allocatable: {there}"


def _count(amount: quantity.Wire, scale: int) -> int:
    """In whole units: millicores, bytes."""
    return math.ceil(quantity.exact(amount) * scale)

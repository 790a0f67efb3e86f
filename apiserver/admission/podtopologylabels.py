"""PodTopologyLabels: a pod that is bound gets its node's zone and region as labels of its own.

Domains of other names (`*.topology.kubernetes.io/…`) are left alone (KEP-4742).
"""

from __future__ import annotations

from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels:
    name = "PodTopologyLabels"
    handles = on(Operation.CREATE, to=("pods", "pods/binding", "bindings"))

    def __init__(self, context: AdmissionContext) -> None:
        self._nodes = context.read("nodes")

    def admit(self, attributes: Attributes) -> Waiting:
        """The binding carries the labels to the pod; a pod that is created on a node gets them at once."""
        obj = attributes.object
        assert obj is not None
        if attributes.shape.kind == "Binding":
            target = obj.get("target") or {}
            node = target.get("name") if target.get("kind") in (None, "", "Node") else None
        else:
            node = obj["spec"].get("nodeName")
        return self._copy_labels(node, obj["metadata"]) if node else None

    async def _copy_labels(self, node: str, metadata: Object) -> None:
        if (found := await self._nodes.get("", node)) is None:
            return
        labels = found["metadata"].get("labels") or {}
        wanted = {name: labels[name] for name in LABELS if name in labels}
        if wanted:
            metadata["labels"] = (metadata.get("labels") or {}) | wanted

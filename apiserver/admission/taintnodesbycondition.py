"""TaintNodesByCondition: a new node takes no pods until a controller has seen that it is ready."""

from __future__ import annotations

from .chain import Attributes, Operation, on
from .context import AdmissionContext

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition:
    name = "TaintNodesByCondition"
    handles = on(Operation.CREATE, to=("nodes",))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]

"""DefaultTolerationSeconds: how long a pod stays on a node that is not ready or cannot be reached."""

from __future__ import annotations

from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
NO_EXECUTE = "NoExecute"


class DefaultTolerationSeconds:
    name = "DefaultTolerationSeconds"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        self._seconds = {NOT_READY: context.not_ready_seconds, UNREACHABLE: context.unreachable_seconds}

    def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object["spec"]
        tolerations: list[Object] = spec.get("tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": NO_EXECUTE, "tolerationSeconds": seconds}
            for key, seconds in self._seconds.items()
            if not tolerations or not any(_tolerates(toleration, key) for toleration in tolerations)
        ]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", NO_EXECUTE)

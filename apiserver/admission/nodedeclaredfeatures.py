"""NodeDeclaredFeatureValidator: a bound pod is not changed in a way that its node does not know.

Nodes say in `status.declaredFeatures` what they know beyond what every kubelet does. Of upstream's features
these two are about changes that this server accepts; new ones go into FEATURES.
Source: `plugin/pkg/admission/nodedeclaredfeatures`, component-helpers' package of that name (KEP-5328).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kplane.api import quantity
from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, refused


class NodeDeclaredFeatureValidator:
    name = "NodeDeclaredFeatureValidator"
    handles = on(Operation.UPDATE, to=("pods", "pods/resize"))

    def __init__(self, context: AdmissionContext) -> None:
        self._nodes = context.read("nodes")

    def validate(self, attributes: Attributes) -> Waiting:
        new, old = attributes.object, attributes.old
        assert new is not None
        assert old is not None
        node = new["spec"].get("nodeName")
        if not node or new["spec"] == old["spec"]:
            return None
        needed = [name for name, needs in FEATURES.items() if needs(new, old)]
        return self._check(attributes, node, needed) if needed else None

    async def _check(self, attributes: Attributes, name: str, needed: list[str]) -> None:
        node = await self._nodes.get("", name)
        if node is None:
            raise refused(attributes, f'node "{name}" not found')
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        if lacking := [feature for feature in needed if feature not in declared]:
            raise refused(
                attributes,
                f'pod update requires features {", ".join(lacking)} which are not available on node "{name}"',
            )


def _resizes_guaranteed_cpu(new: Object, old: Object) -> bool:
    """Whether the CPU of a container changes that may have CPUs of its own."""
    if (old.get("status") or {}).get("qosClass") != "Guaranteed":
        return False
    before, after = (pod["spec"].get("containers") or () for pod in (old, new))
    return any(
        quantity.compare(_cpu_request(was), _cpu_request(now)) != 0
        for was, now in zip(before, after, strict=False)
    )


def _cpu_request(container: Object) -> quantity.Wire:
    requests = (container.get("resources") or {}).get("requests") or {}
    found: quantity.Wire = requests.get("cpu", "0")
    return found


def _resizes_pod(new: Object, old: Object) -> bool:
    """Whether the resources of the pod as a whole change."""
    return _known(new["spec"].get("resources")) != _known(old["spec"].get("resources"))


def _known(resources: Object | None) -> object:
    """Resources in a form that is equal where they mean the same."""
    if resources is None:
        return None
    amounts = {
        part: {name: quantity.exact(amount) for name, amount in (resources.get(part) or {}).items()}
        for part in ("limits", "requests")
    }
    return amounts, resources.get("claims") or []


FEATURES: Mapping[str, Callable[[Object, Object], bool]] = {
    "GuaranteedQoSPodCPUResize": _resizes_guaranteed_cpu,
    "InPlacePodLevelResourcesVerticalScaling": _resizes_pod,
}
"""By name, in order: whether the change of a pod (new and old) needs it of the node."""

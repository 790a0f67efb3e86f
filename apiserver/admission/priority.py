"""Priority: a pod's priority and preemption policy, as its PriorityClass says, or the global default.

Only one PriorityClass may be the global default.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, concerns, refused

GROUP = "scheduling.k8s.io"
PREEMPT = "PreemptLowerPriority"

SYSTEM_CLASSES: tuple[Object, ...] = (
    {
        "metadata": {"name": "system-node-critical"},
        "value": 2_000_001_000,
        "globalDefault": False,
        "description": "Used for system critical pods that must not be moved from their current node.",
    },
    {
        "metadata": {"name": "system-cluster-critical"},
        "value": 2_000_000_000,
        "globalDefault": False,
        "description": "Used for system critical pods that must run in the cluster, but can be moved to "
        "another node if necessary.",
    },
)
"""What every cluster has from the start."""


class Priority:
    name = "Priority"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods", f"priorityclasses.{GROUP}"))

    def __init__(self, context: AdmissionContext) -> None:
        self._classes = context.read("priorityclasses", GROUP)
        self._default: tuple[Sequence[Object], Object | None] = ((), None)
        """The global default, and the list that it is from."""

    def admit(self, attributes: Attributes) -> Waiting:
        if attributes.object is None or not concerns(attributes, "pods"):
            return None
        spec = attributes.object["spec"]
        if attributes.operation is not Operation.CREATE:
            _keep(spec, (attributes.old or {}).get("spec") or {})
            return None
        classes = self._classes.known_list()
        if spec.get("priorityClassName") or classes is None:
            return self._look_up(attributes, spec)
        self._resolve(attributes, spec, self._default_of(classes))
        return None

    def _default_of(self, classes: Sequence[Object]) -> Object | None:
        if classes is not self._default[0]:
            self._default = classes, default_class(classes)
        return self._default[1]

    async def _look_up(self, attributes: Attributes, spec: Object) -> None:
        wanted = spec.get("priorityClassName")
        found = await self._classes.get("", wanted) if wanted else default_class(await self._classes.list())
        if wanted and found is None:
            raise refused(attributes, f"no PriorityClass with name {wanted} was found")
        self._resolve(attributes, spec, found)

    def _resolve(self, attributes: Attributes, spec: Object, found: Object | None) -> None:
        value, policy, name = 0, PREEMPT, ""
        if found is not None:
            value, name = found.get("value", 0), found["metadata"]["name"]
            policy = found.get("preemptionPolicy") or PREEMPT
        if name:
            spec["priorityClassName"] = name
        _set(attributes, spec, value, policy)

    def validate(self, attributes: Attributes) -> Waiting:
        obj = attributes.object
        if obj is None or not obj.get("globalDefault") or not concerns(attributes, "priorityclasses", GROUP):
            return None
        return self._check_default(attributes, obj)

    async def _check_default(self, attributes: Attributes, obj: Object) -> None:
        found = default_class(await self._classes.list())
        if found is None:
            return
        other = found["metadata"]["name"]
        if attributes.operation is Operation.CREATE or other != obj["metadata"].get("name"):
            why = f"PriorityClass {other} is already marked as default. Only one default can exist"
            raise refused(attributes, why)


def default_class(classes: Sequence[Object]) -> Object | None:
    """The global default; should a race have made two, the one of lower value."""
    marked = [found for found in classes if found.get("globalDefault")]
    return min(marked, key=lambda found: int(found.get("value", 0)), default=None)


def _set(attributes: Attributes, spec: Object, value: int, policy: str) -> None:
    given = spec.get("priority")
    if given is not None and given != value:
        raise refused(
            attributes,
            f"the integer value of priority ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    chosen = spec.get("preemptionPolicy")
    if chosen is not None and chosen != policy:
        raise refused(
            attributes,
            f"the string value of PreemptionPolicy ({chosen}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name",
        )
    spec["preemptionPolicy"] = policy


def _keep(spec: Object, old: Object) -> None:
    """Clients that do not know the computed fields leave them out of an update."""
    for field in ("priority", "preemptionPolicy"):
        if spec.get(field) is None and old.get(field) is not None:
            spec[field] = old[field]

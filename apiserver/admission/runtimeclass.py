"""RuntimeClass: what running a pod costs beyond its containers, and where that runtime is to be found.

A pod gets overhead, node selector and tolerations from its class, and may not say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api import quantity
from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, refused

MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
ALONE = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


class RuntimeClass:
    name = "RuntimeClass"
    handles = on(Operation.CREATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        self._classes = context.read("runtimeclasses", "node.k8s.io")

    def admit(self, attributes: Attributes) -> Waiting:
        assert attributes.object is not None
        name = attributes.object["spec"].get("runtimeClassName")
        return None if name is None else self._admit(attributes, name)

    async def _admit(self, attributes: Attributes, name: str) -> None:
        found = await self._class_of(attributes, name)
        assert attributes.object is not None
        spec, fixed = attributes.object["spec"], _overhead(found)
        if fixed is not None:
            if spec.get("overhead") is not None and not _same(spec["overhead"], fixed):
                raise refused(attributes, MISMATCH)
            spec["overhead"] = dict(fixed)
        if scheduling := found.get("scheduling"):
            self._place(attributes, spec, scheduling)

    async def _class_of(self, attributes: Attributes, name: str) -> Object:
        found = await self._classes.get("", name)
        if found is None:
            raise refused(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _place(self, attributes: Attributes, spec: Object, scheduling: Object) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.setdefault(key, value) != value:
                raise refused(
                    attributes,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
        if selector:
            spec["nodeSelector"] = selector
        if tolerations := scheduling.get("tolerations"):
            spec["tolerations"] = merged_tolerations(spec.get("tolerations") or [], tolerations)

    def validate(self, attributes: Attributes) -> Waiting:
        assert attributes.object is not None
        name = attributes.object["spec"].get("runtimeClassName")
        if name is not None:
            return self._validate(attributes, name)
        _check(attributes, None)
        return None

    async def _validate(self, attributes: Attributes, name: str) -> None:
        _check(attributes, _overhead(await self._class_of(attributes, name)))


def _check(attributes: Attributes, fixed: Object | None) -> None:
    """The pod has the overhead that its class says, and none where that says nothing."""
    assert attributes.object is not None
    overhead = attributes.object["spec"].get("overhead")
    if fixed is None:
        if overhead is not None:
            raise refused(attributes, ALONE)
    elif overhead is None or not _same(overhead, fixed):
        raise refused(attributes, MISMATCH)


def _overhead(found: Object) -> Object | None:
    """What the class says; None where it says nothing."""
    if not found.get("overhead"):
        return None
    fixed: Object = found["overhead"].get("podFixed") or {}
    return fixed


def _same(left: Object, right: Object) -> bool:
    return left.keys() == right.keys() and all(
        quantity.compare(value, right[name]) == 0 for name, value in left.items()
    )


def merged_tolerations(own: Sequence[Object], more: Sequence[Object]) -> list[Object]:
    """Both, without those that others cover."""
    every = [*own, *more]
    return [
        toleration
        for index, toleration in enumerate(every)
        if not any(
            _covers(other, toleration) and (position < index or not _covers(toleration, other))
            for position, other in enumerate(every)
            if position != index
        )
    ]


def _covers(wide: Object, narrow: Object) -> bool:
    """Whether `wide` tolerates all that `narrow` does."""
    if wide.get("key", "") not in ("", narrow.get("key", "")):
        return False
    if wide.get("effect", "") not in ("", narrow.get("effect", "")):
        return False
    if wide.get("effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or wide["tolerationSeconds"] < seconds:
            return False
    operator = wide.get("operator") or "Equal"
    if operator == "Exists":
        return True
    same_operator = (narrow.get("operator") or "Equal") == operator
    return same_operator and wide.get("value", "") == narrow.get("value", "")

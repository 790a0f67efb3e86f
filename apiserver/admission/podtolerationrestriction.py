"""PodTolerationRestriction: the tolerations that the pods of a namespace get, and those that they may have.

The namespace's annotations say so, else the plug-in's configuration (`default`, `whitelist`).
Source: `plugin/pkg/admission/podtolerationrestriction`, `pkg/util/tolerations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kplane.api.errors import ApiError, not_found
from kplane.api.resource import Object
from kplane.runtime.process import Fatal

from ..registry.podspec.qos import qos_class
from .chain import Attributes, Operation, on
from .context import AdmissionContext

DEFAULT = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
MEMORY_PRESSURE: Object = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}

_decoder = msgspec.json.Decoder(list[dict[str, Any]] | None)


class PodTolerationRestriction:
    name = "PodTolerationRestriction"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises Fatal for a configuration that cannot be used."""
        self._namespace = context.namespace
        configured = context.configuration(self.name) or {}
        self._default = _configured(configured, "default")
        self._whitelist = _configured(configured, "whitelist")

    async def admit(self, attributes: Attributes) -> None:
        pod = attributes.object
        assert pod is not None
        wanted = pod["spec"].get("tolerations") or []
        if attributes.operation is Operation.CREATE:
            given = await self._of_namespace(attributes.namespace, DEFAULT)
            wanted = merged([*(self._default if given is None else given), *wanted])
        if qos_class(pod["spec"]) != "BestEffort":
            wanted = merged([*wanted, MEMORY_PRESSURE])
        if wanted:
            pod["spec"]["tolerations"] = wanted
        await self.validate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        tolerations = attributes.object["spec"].get("tolerations") or []
        if not tolerations:
            return
        scope, allowed = "namespace", await self._of_namespace(attributes.namespace, WHITELIST)
        if allowed is None:
            scope, allowed = "cluster", self._whitelist
        if allowed and not all(any(_covers(each, one) for each in allowed) for one in tolerations):
            # Upstream returns an error of no kind, which becomes a 500 without a reason.
            raise ApiError(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
                f"{scope} whitelist"
            )

    async def _of_namespace(self, name: str, annotation: str) -> Sequence[Object] | None:
        """None: the namespace says nothing. Raises NotFound, ApiError."""
        namespace = await self._namespace(name)
        if namespace is None:
            raise not_found("namespaces", "", name)
        text = (namespace["metadata"].get("annotations") or {}).get(annotation)
        if text is None:
            return None
        try:
            return (_decoder.decode(text) or []) if text else []
        except msgspec.DecodeError as error:
            raise ApiError(f"annotation {annotation} of the namespace holds no tolerations") from error


def _configured(settings: Object, field: str) -> Sequence[Object]:
    found = settings.get(field) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Fatal(f"PodTolerationRestriction configuration: {field} is no list of tolerations")
    return found


def merged(tolerations: Sequence[Object]) -> list[Object]:
    """Without those that another one covers; of equal ones the first stays."""
    kept: list[Object] = []
    for index, one in enumerate(tolerations):
        if any(_covers(each, one) for each in kept):
            continue
        if any(not _same(one, each) and _covers(each, one) for each in tolerations[index + 1 :]):
            continue
        kept.append(one)
    return kept


def _same(one: Object, other: Object) -> bool:
    fields = ("key", "operator", "value", "effect")
    seconds = "tolerationSeconds"
    return one.get(seconds) == other.get(seconds) and all(
        (one.get(field) or "") == (other.get(field) or "") for field in fields
    )


def _covers(wide: Object, narrow: Object) -> bool:
    """Whether everything that `narrow` tolerates is tolerated by `wide`."""
    if _same(wide, narrow):
        return True
    operator, key, effect = wide.get("operator") or "Equal", wide.get("key") or "", wide.get("effect") or ""
    # No key, with Exists, means every key; no effect means every effect.
    if (narrow.get("key") or "") != key and (key or operator != "Exists"):
        return False
    if effect and (narrow.get("effect") or "") != effect:
        return False
    most, seconds = wide.get("tolerationSeconds"), narrow.get("tolerationSeconds")
    if effect == "NoExecute" and most is not None and (seconds is None or seconds > most):
        return False
    if operator == "Equal":
        return narrow.get("operator") == "Equal" and (narrow.get("value") or "") == (wide.get("value") or "")
    return operator == "Exists"

"""PodNodeSelector: the pods of a namespace run on the nodes that are meant for it.

The namespace's annotation names the labels, else the plug-in's configuration does: by namespace, which labels
pods may ask for, and as `clusterDefaultNodeSelector`, which they get.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplane.api.errors import ApiError, InternalError, forbidden, not_found
from kplane.api.resource import Object

from .chain import Attributes, Operation, on
from .context import AdmissionContext

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT = "clusterDefaultNodeSelector"
CONFLICT = "pod node label selector conflicts with its namespace node label selector"
NOT_LISTED = "pod node label selector labels conflict with its namespace whitelist"


class PodNodeSelector:
    name = "PodNodeSelector"
    handles = on(Operation.CREATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        self._namespace = context.namespace
        configured = (context.configuration(self.name) or {}).get("podNodeSelectorPluginConfig") or {}
        self._configured: Mapping[str, Any] = configured

    async def admit(self, attributes: Attributes) -> None:
        pod = attributes.object
        assert pod is not None
        selector = await self._selector(attributes.namespace)
        own = pod["spec"].get("nodeSelector") or {}
        if _conflict(selector, own):
            raise _refused(pod, CONFLICT)
        if merged := selector | own:
            pod["spec"]["nodeSelector"] = merged
        await self.validate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        pod = attributes.object
        assert pod is not None
        own = pod["spec"].get("nodeSelector") or {}
        if _conflict(await self._selector(attributes.namespace), own):
            raise _refused(pod, CONFLICT)
        allowed = labels(str(self._configured.get(attributes.namespace) or ""))
        if allowed and not own.items() <= allowed.items():
            raise _refused(pod, NOT_LISTED)

    async def _selector(self, name: str) -> dict[str, str]:
        namespace = await self._namespace(name)
        if namespace is None:
            raise not_found("namespaces", "", name)
        annotations = namespace["metadata"].get("annotations") or {}
        return labels(str(annotations.get(ANNOTATION, self._configured.get(DEFAULT) or "")))


def labels(text: str) -> dict[str, str]:
    """`a=b,c=d` as a map. Raises InternalError, as upstream does, for anything else."""
    found = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals or "=" in value:
            raise InternalError(f"invalid selector: [{part}]")
        found[key.strip()] = value.strip()
    return found


def _conflict(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return any(other.get(key, value) != value for key, value in one.items())


def _refused(pod: Object, why: str) -> ApiError:
    return forbidden("pods", "", pod["metadata"].get("name", ""), why)

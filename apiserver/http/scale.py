"""The scale subresource: `autoscaling/v1` Scale as a view of a workload's replicas.

Reading makes a Scale from the workload; writing takes the replicas from it, under the Scale's preconditions.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from kplane.api.errors import invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..registry.registry import Registries
from ..registry.writing import View
from ..storage import codec
from .call import Call
from .decoding import read_object
from .output import object_response
from .patches import read_patch
from .resources import key_of, require_name, writer_of

SCALE = ResourceInfo(
    group="autoscaling",
    version="v1",
    plural="scales",
    singular="scale",
    kind="Scale",
    namespaced=True,
    definition="io.k8s.api.autoscaling.v1.Scale",
)
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class ScaleApi:
    """Answers get, update and patch of `…/scale`."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        registry = self._registries.of(row)
        key = key_of(call, row)
        if call.info.verb == "get":
            item = await registry.cache.get(*key)
            if item is None:
                raise registry.missing(key.name)
            return object_response(call, scale_of(codec.decode(item.wire)))
        if call.info.verb == "patch":
            change = await read_patch(call, SCALE)
            options = "PatchOptions"
        else:
            body = await read_object(call, SCALE, "UpdateOptions")
            require_name(call, body)
            sent = msgspec.json.encode(body)
            # Admission may change it, and a lost race begins anew.
            change, options = (lambda _: codec.decode(sent)), "UpdateOptions"
        written = await registry.modify(key, change, writer_of(call, options), view=VIEW)
        return object_response(call, scale_of(codec.decode(written.wire)))


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    metadata = obj["metadata"]
    status: Object = {"replicas": obj.get("status", {}).get("replicas", 0)}
    if selector := _selector_text(obj["spec"].get("selector") or {}):
        status["selector"] = selector
    replicas = obj["spec"].get("replicas", 1)
    return {
        "kind": SCALE.kind,
        "apiVersion": SCALE.api_version,
        "metadata": {name: metadata[name] for name in _COPIED if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(obj: Object, scale: Object) -> Object:
    """The workload with the Scale's replicas; the Scale's uid and revision become its preconditions."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        fault = Path("spec").replicas.invalid(replicas, "must be greater than or equal to 0")
        raise invalid(SCALE.kind, SCALE.group, obj["metadata"]["name"], [fault])
    obj["spec"]["replicas"] = replicas
    for name in ("uid", "resourceVersion"):
        obj["metadata"].pop(name, None)
        if wanted := scale["metadata"].get(name):
            obj["metadata"][name] = wanted
    return obj


VIEW = View("scale", SCALE, scale_of, scaled)


def _selector_text(selector: Object) -> str:
    """A selector as the string form that `status.selector` has."""
    labels = selector if "matchLabels" not in selector and "matchExpressions" not in selector else None
    if labels is None:
        labels = selector.get("matchLabels") or {}
    texts = [(key, f"{key}={value}") for key, value in labels.items() if isinstance(value, str)]
    for need in selector.get("matchExpressions") or []:
        texts.append((need["key"], _expression_text(need)))
    return ",".join(text for _, text in sorted(texts))


def _expression_text(need: Object) -> str:
    key, values = need["key"], ",".join(sorted(need.get("values") or []))
    match need["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "DoesNotExist":
            return f"!{key}"
    return str(key)

"""The scale subresource: `autoscaling/v1` Scale as a view of a workload's replicas.

Reading makes a Scale from the workload; writing takes the replicas from it, under the Scale's preconditions.
An apply sees the managers of the replicas as managers of the Scale's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import msgspec
from starlette.responses import Response

from kplane.api.apply import Writer, apply
from kplane.api.apply.scaling import SCALE_VERSION, Places, entries_of_parent, entries_of_scale
from kplane.api.apply.shape import shape_of
from kplane.api.apply.versions import SameVersion
from kplane.api.errors import InternalError, NotFound, invalid, not_found
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, ScalePaths

from ..registry.customresources import at
from ..registry.registry import Registries
from ..registry.writing import Change, View
from ..storage import codec
from .applies import APPLY_PATCH, Configuration, read_configuration
from .call import Call
from .decoding import read_object
from .output import object_response
from .patches import patch_type, read_patch
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
_CLUSTER_SCALE = replace(SCALE, namespaced=False)
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_MISSING = {
    ("apps", "deployments"): ("deployments/scale", "apps"),
    ("apps", "replicasets"): ("replicasets/scale", "apps"),
    ("", "replicationcontrollers"): ("replicationcontrollers/scale", "autoscaling"),
}
"""What upstream calls the Scale of what is not there; of everything else, the workload itself."""


def _missing(row: ResourceInfo, name: str) -> NotFound:
    plural, group = _MISSING.get((row.group, row.plural), (row.plural, row.group))
    return not_found(plural, group, name)


class ScaleApi:
    """Answers get, update and patch of `…/scale`."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        registry = self._registries.of(row)
        view = custom_view(row.custom.scale) if row.custom and row.custom.scale else VIEW
        key = key_of(call, row)
        if call.info.verb == "get":
            item = await registry.cache.get(*key)
            if item is None:
                raise _missing(row, key.name)
            found = codec.decode(await registry.served(item.wire))
            if row.custom and row.custom.scale:
                require_replicas(row.custom.scale, found)
            return object_response(call, view.show(found))
        options = "PatchOptions" if call.info.verb == "patch" else "UpdateOptions"
        author, change = writer_of(call, options), await self._read_change(call, row)
        through = view
        if isinstance(change, Configuration):
            author, through = replace(author, applies=True), applied_view(view, row)
            change = applying(change, author.manager or "")
        written = await registry.modify(key, change, author, view=through)
        return object_response(call, view.show(codec.decode(await registry.served(written.wire))))

    async def _read_change(self, call: Call, row: ResourceInfo) -> Change | Configuration:
        """What the request wants to be made of the Scale."""
        if call.info.verb == "patch":
            if patch_type(call) == APPLY_PATCH:
                return await read_configuration(call, SCALE if row.namespaced else _CLUSTER_SCALE)
            return await read_patch(call, SCALE, custom=row.custom is not None)
        body = await read_object(call, SCALE, "UpdateOptions")
        require_name(call, body)
        sent = msgspec.json.encode(body)
        # Admission may change it, and a lost race begins anew.
        return lambda _: codec.decode(sent)


def applying(config: Configuration, manager: str) -> Change:
    """A change of a Scale that brings its managers."""
    versions = SameVersion(SCALE_VERSION, shape_of(SCALE.definition))
    writer = Writer(manager, SCALE_VERSION, time="", subresource="scale")
    return lambda live: apply(live, codec.decode(config.body), writer, versions, force=config.force)


def applied_view(view: View, row: ResourceInfo) -> View:
    """The view with its managers, for an apply, which reads and writes them."""
    places = replica_places(row)

    def show(obj: Object) -> Object:
        scale = view.show(obj)
        scale["metadata"]["managedFields"] = entries_of_scale(obj["metadata"].get("managedFields"), places)
        return scale

    def write(obj: Object, scale: Object) -> Object:
        mine, its = obj["metadata"].get("managedFields"), scale["metadata"].get("managedFields")
        obj["metadata"]["managedFields"] = entries_of_parent(mine, its, places, row.api_version)
        return view.apply(obj, scale)

    return replace(view, show=show, apply=write)


def replica_places(row: ResourceInfo) -> Places:
    """Where each version of a resource keeps its replicas."""
    if row.custom is None:
        return {row.api_version: ("spec", "replicas")}
    scales = row.custom.scales
    paths = {
        version: scales[version].spec_replicas if version in scales else () for version in row.custom.schemas
    }
    return {f"{row.group}/{version}": path for version, path in paths.items()}


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    selector = _selector_text(obj["spec"].get("selector") or {})
    return _scale(obj, obj["spec"].get("replicas", 1), obj.get("status", {}).get("replicas", 0), selector)


def _scale(obj: Object, replicas: int, current: int, selector: str) -> Object:
    metadata = obj["metadata"]
    status: Object = {"replicas": current}
    if selector:
        status["selector"] = selector
    return {
        "kind": SCALE.kind,
        "apiVersion": SCALE.api_version,
        "metadata": {name: metadata[name] for name in _COPIED if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(obj: Object, scale: Object) -> Object:
    """The workload with the Scale's replicas; the Scale's uid and revision become its preconditions."""
    obj["spec"]["replicas"] = _wanted(obj, scale)
    return _under_preconditions(obj, scale)


def _wanted(obj: Object, scale: Object) -> int:
    replicas: int = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        fault = Path("spec").replicas.invalid(replicas, "must be greater than or equal to 0")
        raise invalid(SCALE.kind, SCALE.group, obj["metadata"]["name"], [fault])
    return replicas


def _under_preconditions(obj: Object, scale: Object) -> Object:
    for name in ("uid", "resourceVersion"):
        obj["metadata"].pop(name, None)
        if wanted := scale["metadata"].get(name):
            obj["metadata"][name] = wanted
    return obj


VIEW = View("scale", SCALE, scale_of, scaled)


@lru_cache(maxsize=256)
def custom_view(paths: ScalePaths) -> View:
    """The Scale of a custom resource, whose definition says where its fields are."""

    def show(obj: Object) -> Object:
        replicas, current = _number(obj, paths.spec_replicas), _number(obj, paths.status_replicas)
        selector = at(obj, paths.selector) if paths.selector else ""
        return _scale(obj, replicas or 0, current or 0, selector if isinstance(selector, str) else "")

    def apply(obj: Object, scale: Object) -> Object:
        place = obj
        for step in paths.spec_replicas[:-1]:
            inner = place.get(step)
            place[step] = place = inner if isinstance(inner, dict) else {}
        place[paths.spec_replicas[-1]] = _wanted(obj, scale)
        return _under_preconditions(obj, scale)

    return View("scale", SCALE, show, apply)


def require_replicas(paths: ScalePaths, obj: Object) -> None:
    """Raises InternalError for an object without the field that a Scale shows, as upstream does."""
    if _number(obj, paths.spec_replicas) is None:
        path = "." + ".".join(paths.spec_replicas)
        raise InternalError(f'Internal error occurred: the spec replicas field "{path}" does not exist')


def _number(obj: Object, steps: tuple[str, ...]) -> int | None:
    value = at(obj, steps)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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

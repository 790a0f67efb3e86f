"""Files of a pod's volumes that hide each other: texts for `Warning:` headers. Pure.

Rules and wording: upstream's `api/pod/warnings.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kplane.api.field import quoted
from kplane.api.resource import Object

from .known import Known

_HARMLESS = Known()
"""Projected volumes. Nearly every Pod has the same one, that of its token."""
_WHOLE = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName"), "downwardAPI": ("", "")}


def path_warnings(volumes: Iterable[Object]) -> Iterator[str]:
    for volume in volumes:
        for field in filter(_WHOLE.__contains__, volume):
            source, (kind, key) = volume[field], _WHOLE[field]
            if source.get("items"):
                name = quoted(volume.get("name", ""))
                shown = f"{kind} {quoted(source.get(key, ''))}" if kind else "DownwardAPI"
                yield from _overlaps(_paths(source), f"volume {name} ({shown}): overlapping paths")
        if projected := volume.get("projected"):
            yield from _HARMLESS.look(projected, _projected_warnings(projected, volume))


def _projected_warnings(projected: Object, volume: Object) -> Iterator[str]:
    earlier: set[str] = set()
    name = quoted(volume.get("name", ""))
    for source in projected.get("sources") or ():
        if not source:
            yield f"volume {name} (Projected) has no sources provided"
            continue
        paths, shown = _projected(source)
        if not paths:
            continue
        text = f"volume {name} (Projected {shown}): overlapping paths"
        yield from _overlaps(paths, text)
        # Those of this source are then held against those of all before it.
        yield from _overlaps(sorted([*set(paths), *earlier]), text)
        earlier.update(paths)


def _projected(source: Object) -> tuple[list[str], str]:
    """The paths of one source, and its name."""
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if (source.get(field) or {}).get("items"):
            return _paths(source[field]), f"{kind} {quoted(source[field].get('name', ''))}"
    if (source.get("downwardAPI") or {}).get("items"):
        return _paths(source["downwardAPI"]), "DownwardAPI"
    if token := source.get("serviceAccountToken"):
        return [token.get("path", "")], "ServiceAccountToken"
    if bundle := source.get("clusterTrustBundle"):
        name = bundle.get("name") or bundle.get("signerName", "")
        return [bundle.get("path", "")], f"ClusterTrustBundle {quoted(name)}"
    return [], ""


def _paths(source: Object) -> list[str]:
    return [item.get("path", "") for item in source["items"]]


def _overlaps(paths: Sequence[str], text: str) -> Iterator[str]:
    if len(paths) < 2:
        return
    seen: dict[str, None] = {}
    for path in (path.rstrip("/") for path in paths):
        if hidden := _hidden(seen, path):
            yield f"{text}: {quoted(path)} with {quoted(hidden)}"
        seen[path] = None


def _hidden(seen: Iterable[str], path: str) -> str:
    for other in seen:
        if not other or not path:
            return ""
        # Upstream takes `a` for a parent of `ab`, too.
        if f"{other}/".startswith(path) or f"{path}/".startswith(other):
            return other
    return ""

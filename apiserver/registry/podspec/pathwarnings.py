"""Files of a pod's volumes that hide each other: texts for `Warning:` headers. Pure.

Rules and wording: upstream's `api/pod/warnings.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import msgspec

from kplane.api.field import quoted
from kplane.api.resource import Object

_SHORT = 4096
"""Bytes of the volumes that are remembered to give no cause for warnings."""
_WHOLE = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName"), "downwardAPI": ("", "")}


def path_warnings(volumes: Iterable[Object]) -> Iterator[str]:
    for volume in volumes:
        name = quoted(volume.get("name", ""))
        for field, (kind, key) in _WHOLE.items():
            source = volume.get(field)
            if source and source.get("items"):
                shown = f"{kind} {quoted(source.get(key, ''))}" if kind else "DownwardAPI"
                yield from _overlaps(_paths(source), f"volume {name} ({shown}): overlapping paths")
        projected = volume.get("projected")
        if projected and not _is_plain(projected):
            yield from _projected_warnings(projected.get("sources") or (), name)


def _is_plain(projected: Object) -> bool:
    encoded = msgspec.json.encode(projected)
    return len(encoded) <= _SHORT and _gives_no_cause(encoded)


@lru_cache(maxsize=256)
def _gives_no_cause(encoded: bytes) -> bool:
    """Nearly every Pod has the same such volume, that of its token: it is looked at once."""
    return not [*_projected_warnings(msgspec.json.decode(encoded).get("sources") or (), "")]


def _projected_warnings(sources: Sequence[Object], name: str) -> Iterator[str]:
    earlier: set[str] = set()
    for source in sources:
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

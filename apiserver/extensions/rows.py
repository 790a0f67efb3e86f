"""The rows of the scheme that a CustomResourceDefinition makes: one for each served version. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from kplane.api import structural
from kplane.api.resource import Object
from kplane.api.schema import Schema
from kplane.api.scheme import CustomVersion, ResourceInfo, ScalePaths, SubresourceInfo
from kplane.api.scheme.scheme import version_rank

from .conditions import TERMINATING, is_true
from .lifecycle import accepted_names

log = logging.getLogger(__name__)

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
TERMINATING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
_READ_WRITE = ("get", "patch", "update")
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""Stands for a schema that is missing or no longer understood: objects are kept as they are."""


class Rows(NamedTuple):
    served: tuple[ResourceInfo, ...]
    storage: ResourceInfo
    """That of the version in which objects are stored, whether it is served or not."""


def all_rows(crd: Object) -> Rows:
    """The rows of an established definition."""
    spec = crd["spec"]
    sources = {version["name"]: _source(crd, version) for version in spec["versions"]}
    schemas = {name: structural.compile(source) for name, source in sources.items()}
    made = {
        version["name"]: _row(crd, version, _custom(crd, version, sources[version["name"]], schemas))
        for version in spec["versions"]
    }
    served = tuple(made[version["name"]] for version in spec["versions"] if version["served"])
    return Rows(served, made[storage_version(spec)])


def _source(crd: Object, version: Object) -> Schema:
    source: Schema | None = (version.get("schema") or {}).get("openAPIV3Schema")
    if not source:
        return ANYTHING
    if crd["spec"].get("preserveUnknownFields"):
        source = source | {"x-kubernetes-preserve-unknown-fields": True}
    try:
        structural.compile(source)
    except structural.SchemaError as error:
        log.warning("schema not understood crd=%s error=%s", crd["metadata"]["name"], error)
        return ANYTHING
    return source


def _custom(
    crd: Object, version: Object, source: Schema, schemas: dict[str, structural.Structural]
) -> CustomVersion:
    spec = crd["spec"]
    subresources = version.get("subresources") or {}
    return CustomVersion(
        schema=schemas[version["name"]],
        source=source,
        schemas=schemas,
        storage=storage_version(spec),
        conversion=spec.get("conversion") or {"strategy": "None"},
        status=subresources.get("status") is not None,
        scale=_scale(subresources.get("scale")),
        scales=_scales(spec),
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=_selectable(version),
        all_selectable=tuple(sorted({path for each in spec["versions"] for path in _selectable(each)})),
        warning=_warning(spec, version),
        terminating=is_true(crd, TERMINATING),
    )


def _row(crd: Object, version: Object, custom: CustomVersion) -> ResourceInfo:
    spec, names = crd["spec"], accepted_names(crd)
    group, storage = spec["group"], custom.storage
    return ResourceInfo(
        group=group,
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        definition=definition_name(group, version["name"], names["kind"]),
        list_kind=names.get("listKind", ""),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=TERMINATING_VERBS if custom.terminating else VERBS,
        subresources=tuple(_subresources(names["kind"], custom)),
        stored_as=(group, storage) if storage != version["name"] else None,
        custom=custom,
    )


def definition_name(group: str, version: str, kind: str) -> str:
    """`com.example.v1.Widget`: the name of the schema in OpenAPI documents."""
    return f"{'.'.join(reversed(group.split('.')))}.{version}.{kind}"


def storage_version(spec: Object) -> str:
    """Name of the version in which objects are stored."""
    name: str = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return name


def _subresources(kind: str, custom: CustomVersion) -> Iterator[SubresourceInfo]:
    if custom.status:
        yield SubresourceInfo("status", kind, _READ_WRITE)
    if custom.scale:
        yield SubresourceInfo("scale", "Scale", _READ_WRITE, "autoscaling", "v1")


def _scale(paths: Object | None) -> ScalePaths | None:
    if not paths:
        return None
    return ScalePaths(
        _path(paths["specReplicasPath"]),
        _path(paths["statusReplicasPath"]),
        _path(paths.get("labelSelectorPath") or ""),
    )


def _scales(spec: Object) -> dict[str, ScalePaths]:
    paths = {each["name"]: _scale((each.get("subresources") or {}).get("scale")) for each in spec["versions"]}
    return {name: found for name, found in paths.items() if found}


def _path(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.removeprefix(".").split(".") if part)


def _selectable(version: Object) -> tuple[str, ...]:
    return tuple(entry["jsonPath"].removeprefix(".") for entry in version.get("selectableFields") or ())


def _warning(spec: Object, version: Object) -> str:
    """What a deprecated version's users are told."""
    if not version.get("deprecated"):
        return ""
    if (own := version.get("deprecationWarning")) is not None:
        return str(own)
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    text = f"{group}/{name} {kind} is deprecated"
    better = [
        each["name"]
        for each in spec["versions"]
        if each["served"] and not each.get("deprecated") and version_rank(each["name"]) < version_rank(name)
    ]
    if not better:
        return text
    return f"{text}; use {group}/{min(better, key=version_rank)} {kind}"

"""Environment variables of a container, and the references to fields and resources that volumes share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

ENV_FIELDS = frozenset(
    ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
     "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
)  # fmt: skip
VOLUME_FIELDS = frozenset(
    ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
)
_KNOWN_FIELDS = ENV_FIELDS | VOLUME_FIELDS | {"spec.restartPolicy", "spec.schedulerName", "status.phase"}
_SUBSCRIPT = re.compile(r"(metadata\.(?:annotations|labels))\['(.*)'\]").fullmatch
_RESOURCES = tuple(
    f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_ONE_OF = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_env(variables: list[Object], path: Path) -> Iterator[FieldError]:
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not name:
            yield path[index].name.required()
        else:
            for text in names.env_var(name):
                yield path[index].name.invalid(name, text)
        if "valueFrom" in variable:
            yield from _validate_value_from(variable, path[index].valueFrom)


def _validate_value_from(variable: Object, path: Path) -> Iterator[FieldError]:
    source = variable["valueFrom"]
    given = [kind for kind in _SOURCES if kind in source]
    if not given:
        yield path.invalid("", _ONE_OF)
    elif variable.get("value"):
        yield path.invalid("", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield path.invalid("", "may not have more than one field specified at a time")
    for kind in given:
        here = path.child(kind)
        if kind == "fieldRef":
            yield from validate_field_ref(source[kind], ENV_FIELDS, here)
        elif kind == "resourceFieldRef":
            yield from validate_resource_ref(source[kind], False, here)
        elif kind != "fileKeyRef":
            yield from _validate_key_ref(source[kind], here)


def _validate_key_ref(reference: Object, path: Path) -> Iterator[FieldError]:
    name, key = reference.get("name", ""), reference.get("key", "")
    for text in names.dns_subdomain(name):
        yield path.name.invalid(name, text)
    if not key:
        yield path.key.required()
    else:
        for text in names.config_key(key):
            yield path.key.invalid(key, text)


def validate_field_ref(reference: Object, supported: Collection[str], path: Path) -> Iterator[FieldError]:
    field = reference.get("fieldPath", "")
    if not reference.get("apiVersion"):
        yield path.apiVersion.required()
    elif not field:
        yield path.fieldPath.required()
    elif subscript := _SUBSCRIPT(field):
        yield from _validate_subscript(field, subscript[1], subscript[2], path)
    elif field not in _KNOWN_FIELDS:
        text = f"error converting fieldPath: field label not supported: {field}"
        yield path.fieldPath.invalid(field, text)
    elif field not in supported:
        yield path.fieldPath.not_supported(field, sorted(supported))


def _validate_subscript(field: str, base: str, key: str, path: Path) -> Iterator[FieldError]:
    for text in names.qualified_name(key.lower() if base.endswith("annotations") else key):
        yield path.fieldPath.invalid(field, text)


def validate_resource_ref(reference: Object, in_volume: bool, path: Path) -> Iterator[FieldError]:
    resource = reference.get("resource", "")
    if in_volume and not reference.get("containerName"):
        yield path.containerName.required()
    elif not resource:
        yield path.resource.required()
    elif resource not in _RESOURCES and not resource.partition(".")[2].startswith("hugepages-"):
        yield path.resource.not_supported(resource, _RESOURCES)


def validate_env_from(sources: list[Object], path: Path) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        here = path[index]
        if prefix := source.get("prefix"):
            for text in names.env_var(prefix):
                yield here.prefix.invalid(prefix, text)
        given = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        for kind in given:
            name = source[kind].get("name", "")
            for text in names.dns_subdomain(name):
                yield here.child(kind).name.invalid(name, text)
        if not given:
            yield here.invalid("", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield here.invalid("", "may not have more than one field specified at a time")

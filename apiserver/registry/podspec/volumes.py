"""Volumes of a pod: defaults and validation of each source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .environment import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from .images import pull_policy

_FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_DEFAULTS: dict[str, Object] = {
    "secret": {"defaultMode": 0o644},
    "configMap": {"defaultMode": 0o644},
    "downwardAPI": {"defaultMode": 0o644},
    "projected": {"defaultMode": 0o644},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
_HOST_PATH_TYPES = frozenset(
    ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")
)


def default_volume(volume: Object) -> None:
    """Fill in one volume; a volume of no kind is an emptyDir."""
    sources = [name for name in volume if name != "name"]
    if not sources:
        volume["emptyDir"] = {}
        return
    for name in sources:
        source = volume[name]
        for key, value in _DEFAULTS.get(name, {}).items():
            if source.get(key) is None:
                source[key] = value
        if name in ("downwardAPI", "projected"):
            _default_items(source)
        elif name == "image":
            _default_image(source)
        elif name == "ephemeral" and "volumeClaimTemplate" in source:
            source["volumeClaimTemplate"].setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _default_image(source: Object) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference", ""))


def _default_items(source: Object) -> None:
    """Items of a downward API volume, alone or projected; tokens of a projected one."""
    for item in source.get("items") or ():
        _default_item(item)
    for part in source.get("sources") or ():
        for item in (part.get("downwardAPI") or {}).get("items") or ():
            _default_item(item)
        if part.get("serviceAccountToken"):
            part["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _default_item(item: Object) -> None:
    if reference := item.get("fieldRef"):
        reference["apiVersion"] = reference.get("apiVersion") or "v1"
    elif reference := item.get("resourceFieldRef"):
        reference.setdefault("divisor", "0")


def validate_volumes(volumes: list[Object], path: Path) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name", "")
        here = path[index]
        if not name:
            yield here.name.required()
        elif faults := names.dns_label(name):
            for text in faults:
                yield here.name.invalid(name, text)
        elif name in seen:
            yield here.name.duplicate(name)
        seen.add(name)
        yield from _validate_source(volume, here)


def _validate_source(volume: Object, path: Path) -> Iterator[FieldError]:
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds:
        yield path.required("must specify a volume type")
        return
    for kind in kinds[1:]:
        yield path.child(kind).forbidden("may not specify more than 1 volume type")
    kind = kinds[0]
    if check := _CHECKS.get(kind):
        yield from check(volume[kind], path.child(kind))


def _empty_dir(source: Object, path: Path) -> Iterator[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.sign(limit) < 0:
        yield path.sizeLimit.forbidden("SizeLimit field must be a valid resource quantity")


def _host_path(source: Object, path: Path) -> Iterator[FieldError]:
    place = source.get("path", "")
    if not place:
        yield path.path.required()
        return
    yield from no_backsteps(place, path.path)
    if (source.get("type") or "") not in _HOST_PATH_TYPES:
        yield path.type.not_supported(source["type"], sorted(_HOST_PATH_TYPES))


def _secret(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("secretName"):
        yield path.secretName.required()
    yield from _mode(source.get("defaultMode"), path.defaultMode)
    yield from _key_paths(source.get("items") or [], path.items)


def _config_map(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("name"):
        yield path.name.required()
    yield from _mode(source.get("defaultMode"), path.defaultMode)
    yield from _key_paths(source.get("items") or [], path.items)


def _claim(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("claimName"):
        yield path.claimName.required()


def _nfs(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("server"):
        yield path.server.required()
    if not source.get("path"):
        yield path.path.required()
    elif not source["path"].startswith("/"):
        yield path.path.invalid(source["path"], "must be an absolute path")


def _csi(source: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_csi_driver(source.get("driver", ""), path.driver)


def _image(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("reference"):
        yield path.reference.required()
    if source.get("pullPolicy") not in ("Always", "IfNotPresent", "Never"):
        yield path.pullPolicy.not_supported(source.get("pullPolicy"), ("Always", "IfNotPresent", "Never"))


def _ephemeral(source: Object, path: Path) -> Iterator[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield path.volumeClaimTemplate.required()
    elif not template.get("spec", {}).get("accessModes"):
        yield path.volumeClaimTemplate.spec.accessModes.required("at least 1 access mode is required")


def _downward(source: Object, path: Path) -> Iterator[FieldError]:
    yield from _mode(source.get("defaultMode"), path.defaultMode)
    yield from _downward_items(source.get("items") or [], path.items)


def _projected(source: Object, path: Path) -> Iterator[FieldError]:
    yield from _mode(source.get("defaultMode"), path.defaultMode)
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        here = path.sources[index]
        for kind in list(part)[1:]:
            yield here.child(kind).forbidden("may not specify more than 1 volume type per source")
        kind = next(iter(part), "")
        if kind in ("secret", "configMap") and not part[kind].get("name"):
            yield here.child(kind).name.required()
        yield from _projected_part(kind, part.get(kind) or {}, here.child(kind))
        items = part.get(kind, {}).get("items") or ([part[kind]] if kind == "serviceAccountToken" else [])
        for item in items:
            if item.get("path") in taken:
                yield here.invalid(item["path"], "conflicting duplicate paths")
            taken.add(item.get("path", ""))


def _projected_part(kind: str, part: Object, path: Path) -> Iterator[FieldError]:
    match kind:
        case "secret" | "configMap":
            yield from _key_paths(part.get("items") or [], path.items)
        case "downwardAPI":
            yield from _downward_items(part.get("items") or [], path.items)
        case "serviceAccountToken":
            seconds = part.get("expirationSeconds", 3600)
            if seconds < 600:
                yield path.expirationSeconds.invalid(
                    seconds, "may not specify a duration less than 10 minutes"
                )
            if seconds > 1 << 32:
                yield path.expirationSeconds.invalid(
                    seconds, "may not specify a duration larger than 2^32 seconds"
                )
            if not part.get("path"):
                yield path.path.required()
            else:
                yield from local_path(part["path"], path.path)


def _downward_items(items: list[Object], path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        here = path[index]
        if not item.get("path"):
            yield here.path.required()
        else:
            yield from local_path(item["path"], here.path)
        if "fieldRef" in item:
            yield from validate_field_ref(item["fieldRef"], VOLUME_FIELDS, here.fieldRef)
            if "resourceFieldRef" in item:
                yield here.invalid(
                    "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                )
        elif "resourceFieldRef" in item:
            yield from validate_resource_ref(item["resourceFieldRef"], True, here.resourceFieldRef)
        else:
            yield here.required("one of fieldRef and resourceFieldRef is required")
        yield from _mode(item.get("mode"), here.mode)


def _key_paths(items: list[Object], path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        here = path[index]
        if not item.get("key"):
            yield here.key.required()
        if not item.get("path"):
            yield here.path.required()
        else:
            yield from local_path(item["path"], here.path)
        yield from _mode(item.get("mode"), here.mode)


def _mode(mode: int | None, path: Path) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield path.invalid(mode, _FILE_MODE)


def local_path(place: str, path: Path) -> Iterator[FieldError]:
    """A relative path that stays below where it starts, and whose first part is not reserved."""
    yield from descending_path(place, path)
    if place.startswith("..") and not place.startswith("../"):
        yield path.invalid(place, "must not start with '..'")


def descending_path(place: str, path: Path) -> Iterator[FieldError]:
    if place.startswith("/"):
        yield path.invalid(place, "must be a relative path")
    yield from no_backsteps(place, path)


def no_backsteps(place: str, path: Path) -> Iterator[FieldError]:
    if ".." in place.split("/"):
        yield path.invalid(place, "must not contain '..'")


def validate_csi_driver(driver: str, path: Path) -> Iterator[FieldError]:
    if not driver:
        yield path.required()
        return
    if len(driver) > 63:
        yield path.too_long(63)
    for text in names.dns_subdomain(driver.lower()):
        yield path.invalid(driver, text)


_CHECKS: dict[str, Any] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
    "csi": _csi,
    "image": _image,
    "ephemeral": _ephemeral,
    "downwardAPI": _downward,
    "projected": _projected,
}

"""Volumes of a pod: defaults and validation of each source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .files import (
    no_backsteps,
    validate_downward_items,
    validate_key_paths,
    validate_mode,
)
from .images import pull_policy
from .projections import validate_projected

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
    yield from validate_mode(source.get("defaultMode"), path.defaultMode)
    yield from validate_key_paths(source.get("items") or [], path.items)


def _config_map(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("name"):
        yield path.name.required()
    yield from validate_mode(source.get("defaultMode"), path.defaultMode)
    yield from validate_key_paths(source.get("items") or [], path.items)


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
    yield from validate_mode(source.get("defaultMode"), path.defaultMode)
    yield from validate_downward_items(source.get("items") or [], path.items)


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
    "projected": validate_projected,
}

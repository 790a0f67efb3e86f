"""APIServices: which server serves a group and version (kube-aggregator `pkg/apis/apiregistration`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .status import StatusStrategy

AVAILABLE = "Available"
_STATUSES = ("True", "False", "Unknown")
_LIMITS = (("groupPriorityMinimum", 20000), ("versionPriority", 1000))


def local_condition(moment: str) -> Object:
    """What every local APIService has."""
    return {
        "type": AVAILABLE,
        "status": "True",
        "lastTransitionTime": moment,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


class APIServiceStrategy(StatusStrategy):
    immutable_spec_generation = True
    unconditional_update = False
    name_rule = staticmethod(names.path_segment)

    def default(self, obj: Object) -> None:
        service = obj.setdefault("spec", {}).get("service")
        if service:
            service.setdefault("port", 443)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        if not obj["spec"].get("service"):
            obj["status"] = {"conditions": [local_condition(obj["metadata"].get("creationTimestamp", ""))]}

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj["spec"]
        group, version = spec.get("group") or "", spec.get("version") or ""
        wanted, name = f"{version}.{group}", obj["metadata"].get("name", "")
        if name != wanted and not names.path_segment(name):
            yield path.metadata.name.invalid(name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
        if not group and version != "v1":
            yield path.spec.group.required("only v1 may have an empty group and it better be legacy kube")
        for fault in names.dns_subdomain(group) if group else ():
            yield path.spec.group.invalid(group, fault)
        for fault in names.dns_1035_label(version):
            yield path.spec.version.invalid(version, fault)
        for field, limit in _LIMITS:
            value = spec.get(field) or 0
            if not 0 < value <= limit:
                yield path.spec.child(field).invalid(value, f"must be positive and less than {limit}")
        yield from _validate_backend(spec, path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for place, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
            status = condition.get("status", "")
            if status not in _STATUSES:
                yield path.status.conditions[place].status.not_supported(status, _STATUSES)


def _validate_backend(spec: Object, path: Path) -> Iterator[FieldError]:
    service, insecure = spec.get("service"), bool(spec.get("insecureSkipTLSVerify"))
    size = _size(spec.get("caBundle") or "")
    if service is None:
        if size:
            yield path.caBundle.invalid(f"{size} bytes", "local APIServices may not have a caBundle")
        if insecure:
            yield path.insecureSkipTLSVerify.invalid(
                True, "local APIServices may not have insecureSkipTLSVerify"
            )
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield path.service.child(field).required("")
    if faults := names.port_number(service.get("port", 0)):
        yield path.service.port.invalid(service.get("port", 0), f"port is not valid: {', '.join(faults)}")
    if insecure and size:
        yield path.insecureSkipTLSVerify.invalid(True, "may not be true if caBundle is present")


def _size(bundle: str) -> int:
    try:
        return len(base64.b64decode(bundle))
    except binascii.Error:
        return len(bundle)

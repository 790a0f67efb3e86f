"""The file of `--authorization-config`: an AuthorizationConfiguration, which names authorisers in their order
and has the settings of webhooks.

Source: apiserver `pkg/apis/apiserver/{types,validation}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kplane.api import names
from kplane.api.field import FieldError
from kplane.api.field import Path as FieldPath
from kplane.client.kubeconfig import ConfigError, Credentials, in_cluster, load
from kplane.runtime.process import Fatal

from .webhookauthorizer import CelError, WebhookSettings, compiled

VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
WEBHOOK = "Webhook"
TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", WEBHOOK)
MAX_TIMEOUT = 30.0
MAX_CONDITIONS = 64
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Entry:
    """One authoriser. `webhook` belongs to the type Webhook alone."""

    type: str
    name: str
    webhook: WebhookSettings | None = None


def load_configuration(path: Path) -> Sequence[Entry]:
    """Raises Fatal with every fault in one line."""
    try:
        root = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Fatal(f"--authorization-config: cannot read {path}: {error}") from error
    if not isinstance(root, dict) or root.get("kind") != "AuthorizationConfiguration":
        raise Fatal(f"--authorization-config: {path} is no AuthorizationConfiguration")
    if root.get("apiVersion") not in VERSIONS:
        raise Fatal(f"--authorization-config: {path} is not of {VERSIONS[0]}")
    entries = root.get("authorizers") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Fatal(f"--authorization-config: the authorizers in {path} are no list of objects")
    faults = [*_faults(entries)]
    if faults:
        raise Fatal(f"--authorization-config: {path}: " + ", ".join(str(fault) for fault in faults))
    return [_entry(entry, path) for entry in entries]


def _entry(entry: Mapping[str, Any], path: Path) -> Entry:
    kind, name = entry["type"], entry["name"]
    if kind != WEBHOOK:
        return Entry(kind, name)
    hook = entry["webhook"]
    settings = WebhookSettings(
        credentials=_credentials(hook["connectionInfo"], path),
        version=hook["subjectAccessReviewVersion"],
        timeout=_seconds(hook["timeout"]),
        authorized_ttl=_ttl(hook, "cacheAuthorizedRequests", "authorizedTTL", 300.0),
        unauthorized_ttl=_ttl(hook, "cacheUnauthorizedRequests", "unauthorizedTTL", 30.0),
        denies_failures=hook["failurePolicy"] == "Deny",
        conditions=tuple(each["expression"] for each in hook.get("matchConditions") or ()),
    )
    return Entry(kind, name, settings)


def _ttl(hook: Mapping[str, Any], switch: str, name: str, default: float) -> float:
    if hook.get(switch) is False:
        return 0.0
    return _seconds(hook[name]) if name in hook else default


def _credentials(info: Mapping[str, Any], path: Path) -> Credentials:
    try:
        if info["type"] == "InClusterConfig":
            return in_cluster()
        return load(path.parent / info["kubeConfigFile"])
    except ConfigError as error:
        raise Fatal(f"--authorization-config: {error}") from error


def _faults(entries: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    path = FieldPath("authorizers")
    if not entries:
        yield path.required("at least one authorization mode must be defined")
    seen_types: set[str] = set()
    seen_names: set[str] = set()
    for index, entry in enumerate(entries):
        here, kind, name = path[index], entry.get("type", ""), entry.get("name", "")
        if not kind:
            yield here.type.required()
        elif kind not in TYPES:
            yield here.type.not_supported(kind, TYPES)
        elif kind in seen_types and kind != WEBHOOK:
            yield here.type.duplicate(kind)
        seen_types.add(kind)
        if not name:
            yield here.name.required()
        elif name in seen_names:
            yield here.name.duplicate(name)
        else:
            for text in names.dns_subdomain(name):
                yield here.name.invalid(name, f"authorizer name is invalid: {text}")
        seen_names.add(name)
        hook = entry.get("webhook")
        if kind == WEBHOOK:
            if hook:
                yield from _webhook_faults(hook, here.webhook)
            else:
                yield here.webhook.required("required when type=Webhook")
        elif hook is not None:
            yield here.webhook.invalid("non-null", "may only be specified when type=Webhook")


def _webhook_faults(hook: Mapping[str, Any], path: FieldPath) -> Iterator[FieldError]:
    timeout = hook.get("timeout")
    if timeout is None:
        yield path.timeout.required()
    elif not 0 < (_duration(timeout) or 0) <= MAX_TIMEOUT:
        yield path.timeout.invalid(str(timeout), "must be > 0s and <= 30s")
    for name in ("authorizedTTL", "unauthorizedTTL"):
        if name in hook and (_duration(hook[name]) or 0) <= 0:
            yield path.child(name).invalid(str(hook[name]), "must be > 0s")
    yield from _one_of(hook, "subjectAccessReviewVersion", ("v1", "v1beta1"), path)
    if hook.get("matchConditions") or "matchConditionSubjectAccessReviewVersion" in hook:
        yield from _one_of(hook, "matchConditionSubjectAccessReviewVersion", ("v1",), path)
    yield from _one_of(hook, "failurePolicy", ("NoOpinion", "Deny"), path)
    yield from _connection_faults(hook.get("connectionInfo") or {}, path.connectionInfo)
    conditions = hook.get("matchConditions") or []
    if len(conditions) > MAX_CONDITIONS:
        yield path.matchConditions.too_many(len(conditions), MAX_CONDITIONS)
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        yield from _condition_faults(each.get("expression", ""), seen, path.matchConditions[index].expression)


def _condition_faults(expression: str, seen: set[str], path: FieldPath) -> Iterator[FieldError]:
    if not expression.strip():
        yield path.required()
        return
    if expression in seen:
        yield path.duplicate(expression)
    seen.add(expression)
    try:
        compiled(expression)
    except CelError as error:
        yield path.invalid(expression, f"compilation failed: {error}")


def _connection_faults(info: Mapping[str, Any], path: FieldPath) -> Iterator[FieldError]:
    yield from _one_of(info, "type", ("InClusterConfig", "KubeConfigFile"), path)
    file = info.get("kubeConfigFile")
    if info.get("type") == "KubeConfigFile" and not file:
        yield path.kubeConfigFile.required()
    if info.get("type") == "InClusterConfig" and file:
        yield path.kubeConfigFile.invalid(file, "can only be set when type=KubeConfigFile")


def _one_of(
    value: Mapping[str, Any], name: str, allowed: Sequence[str], path: FieldPath
) -> Iterator[FieldError]:
    found = value.get(name)
    if not found:
        yield path.child(name).required()
    elif found not in allowed:
        yield path.child(name).not_supported(found, allowed)


def _duration(text: Any) -> float | None:
    """Seconds of a Go duration such as `1m30s`; None if it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _seconds(text: Any) -> float:
    found = _duration(text)
    assert found is not None, "checked before"
    return found

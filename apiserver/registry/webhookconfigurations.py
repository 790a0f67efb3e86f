"""Validating and mutating webhook configurations.

Source: `pkg/apis/admissionregistration/validation`, apiserver `util/webhook/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..admission.matching import VIRTUAL_RESOURCES
from .admissionrules import FAILURE_POLICIES, MATCH_POLICIES, validate_conditions, validate_rule
from .labels import validate_selector
from .strategy import Strategy

REVIEW_VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
EVERY_SIDE_EFFECT = ("None", "NoneOnDryRun", "Some", "Unknown")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
LONGEST_TIMEOUT = 30

_DEFAULTS: Object = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
_FORM = "; desired format: https://host[/path]"


class Tolerance(NamedTuple):
    """What an update may leave as it is, because the old object has it, too."""

    side_effects: Sequence[str] = SIDE_EFFECTS
    unknown_versions: bool = False
    same_names: bool = False
    conditions: bool = False


STRICT = Tolerance()


def _tolerance(new: Object, old: Object) -> Tolerance:
    after, before = new.get("webhooks") or (), old.get("webhooks") or ()
    names = [webhook.get("name", "") for webhook in before]
    return Tolerance(
        side_effects=SIDE_EFFECTS
        if all(webhook.get("sideEffects") in SIDE_EFFECTS for webhook in before)
        else EVERY_SIDE_EFFECT,
        unknown_versions=any(
            versions and not set(versions) & set(REVIEW_VERSIONS)
            for webhook in before
            if (versions := webhook.get("admissionReviewVersions"))
        ),
        same_names=len(set(names)) < len(names),
        conditions=[webhook.get("matchConditions") for webhook in after]
        == [webhook.get("matchConditions") for webhook in before],
    )


class WebhookConfigurationStrategy(Strategy):
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def default(self, obj: Object) -> None:
        for webhook in obj.get("webhooks") or ():
            for name, value in _DEFAULTS.items():
                if webhook.get(name) is None:
                    webhook[name] = dict(value) if isinstance(value, dict) else value
            if self._mutating:
                webhook.setdefault("reinvocationPolicy", "Never")
            for rule in webhook.get("rules") or ():
                rule.setdefault("scope", "*")
            service = (webhook.get("clientConfig") or {}).get("service")
            if service:
                service.setdefault("port", 443)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(obj, path, STRICT)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(new, path, _tolerance(new, old))

    def _validate(self, obj: Object, path: Path, tolerance: Tolerance) -> Iterator[FieldError]:
        taken: set[str] = set()
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            here, name = path.webhooks[index], webhook.get("name", "")
            yield from _validate_webhook(webhook, here, tolerance)
            versions = webhook.get("admissionReviewVersions") or ()
            yield from _validate_versions(versions, here.admissionReviewVersions, tolerance)
            if name and name in taken and not tolerance.same_names:
                yield here.name.duplicate(name)
            taken.add(name)

    def warnings(self, obj: Object) -> Iterator[str]:
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            for number, rule in enumerate(webhook.get("rules") or ()):
                where = Path("webhooks")[index].rules[number]
                for name in _spared(rule):
                    why = "is excluded from admission webhooks; this rule will have no effect"
                    yield f"{where}: {name} {why}"


def _spared(rule: Object) -> Sequence[str]:
    """The resources of a rule about which no webhook is ever asked, if it names them without a wildcard."""
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    if "*" in (*groups, *resources, *(rule.get("apiVersions") or ())):
        return ()
    pairs = ((group, resource) for group in groups for resource in resources)
    return list(
        dict.fromkeys(f"{name}.{group}" for group, name in pairs if (group, name) in VIRTUAL_RESOURCES)
    )


def _validate_webhook(webhook: Object, path: Path, tolerance: Tolerance) -> Iterator[FieldError]:
    yield from _validate_name(webhook.get("name", ""), path.name)
    for index, rule in enumerate(webhook.get("rules") or ()):
        yield from validate_rule(rule, path.rules[index])
    for name, supported in (("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)):
        if webhook[name] not in supported:
            yield path.child(name).not_supported(webhook[name], supported)
    effects, allowed = webhook.get("sideEffects"), tolerance.side_effects
    if effects is None:
        yield path.sideEffects.required(f"must specify one of {', '.join(allowed)}")
    elif effects not in allowed:
        yield path.sideEffects.not_supported(effects, allowed)
    seconds = webhook["timeoutSeconds"]
    if not 1 <= seconds <= LONGEST_TIMEOUT:
        yield path.timeoutSeconds.invalid(seconds, "the timeout value must be between 1 and 30 seconds")
    for name in ("namespaceSelector", "objectSelector"):
        yield from validate_selector(webhook[name], path.child(name))
    # Only what mutates has one.
    policy = webhook.get("reinvocationPolicy")
    if policy is not None and policy not in REINVOCATION_POLICIES:
        yield path.reinvocationPolicy.not_supported(policy, REINVOCATION_POLICIES)
    yield from validate_client_config(webhook.get("clientConfig") or {}, path.clientConfig)
    if not tolerance.conditions:
        yield from validate_conditions(webhook.get("matchConditions") or (), path.matchConditions)


def _validate_name(name: str, path: Path) -> Iterator[FieldError]:
    """Fully qualified."""
    if not name:
        yield path.required()
    elif faults := names.dns_subdomain(name):
        yield path.invalid(name, ",".join(faults))
    elif name.count(".") < 2:
        yield path.invalid(name, "should be a domain with at least three segments separated by dots")


def _validate_versions(versions: Sequence[str], path: Path, tolerance: Tolerance) -> Iterator[FieldError]:
    if not versions:
        yield path.required(f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield path[index].invalid(version, "duplicate version")
            continue
        for text in names.dns_1035_label(version):
            yield path[index].invalid(version, text)
    if not tolerance.unknown_versions and not set(versions) & set(REVIEW_VERSIONS):
        yield path.invalid(list(versions), f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def validate_client_config(config: Object, path: Path) -> Iterator[FieldError]:
    """Of a webhook: exactly one of `url` and `service`."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield path.required("exactly one of url or service is required")
    elif url is not None:
        yield from validate_url(url, path.url)
    elif service is not None:
        yield from validate_service(service, path.service)


def validate_url(url: str, path: Path) -> Iterator[FieldError]:
    parts = _parse(url)
    if isinstance(parts, str):
        yield path.required(f"url must be a valid URL: {parts}{_FORM}")
        return
    if parts.scheme != "https":
        yield path.invalid(parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        yield path.invalid("", f"host must be specified{_FORM}")
    if at:
        # Upstream repeats all of it; a password does not belong into a message.
        yield path.invalid(user.partition(":")[0], "user information is not permitted in the URL")
    if parts.fragment:
        yield path.invalid(parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield path.invalid(parts.query, "query parameters are not permitted in the URL")


def _parse(url: str) -> SplitResult | str:
    """The parts of a URL, or what is wrong with it, in Go's words."""
    if any(char < " " or char == "\x7f" for char in url):
        return "net/url: invalid control character in URL"
    if url.startswith(":"):
        return f'parse "{url}": missing protocol scheme'
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return f'parse "{url}": invalid port after host'
    if " " in parts.netloc:
        return f'parse "{url}": invalid character " " in host name'
    return parts


def validate_service(service: Object, path: Path) -> Iterator[FieldError]:
    if not service.get("name"):
        yield path.name.required("service name is required")
    if not service.get("namespace"):
        yield path.namespace.required("service namespace is required")
    port = service.get("port", 443)
    if faults := names.port_number(port):
        yield path.port.invalid(port, f"port is not valid: {', '.join(faults)}")
    yield from _validate_path(service.get("path") or "", path.path)


def _validate_path(text: str, path: Path) -> Iterator[FieldError]:
    if text in ("", "/"):
        return
    if text == "//":
        yield path.invalid(text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield path.invalid(text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            yield path.invalid(text, f"segment[{index}] may not be empty")
            continue
        for fault in names.dns_subdomain(step):
            yield path.invalid(text, f"segment[{index}]: {fault}")

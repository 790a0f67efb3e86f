"""Faults of a CustomResourceDefinition's spec. Pure.

Upstream moves what all versions have in common to the top of the spec before it validates, and so do the
fields in its messages: `spec.validation.openAPIV3Schema` for a definition with a single version. Rules and
wording: apiextensions `apis/apiextensions/validation/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.structural import validate_definition

from . import approval
from .columns import validate_column, validate_scale, validate_selectable
from .webhookclients import validate_client

SCOPES = ("Cluster", "Namespaced")
STRATEGIES = ("None", "Webhook")
REVIEW_VERSIONS = ("v1", "v1beta1")
MAX_WARNING = 256
_REQUIRED_NAMES = ("plural", "singular", "kind", "listKind")
_MIXED_CASE = "may have mixed case, but should otherwise match: "


def validate_spec(spec: Object, path: Path) -> Iterator[FieldError]:
    """Everything that can be told from the spec alone."""
    yield from _validate_group(spec.get("group", ""), path.group)
    scope = spec.get("scope", "")
    if not scope:
        yield path.scope.required()
    elif scope not in SCOPES:
        yield path.scope.not_supported(scope, SCOPES)
    versions: Sequence[Object] = spec.get("versions") or ()
    yield from _validate_versions(versions, path)
    wanted = spec.get("names") or {}
    yield from (path.names.child(key).required() for key in _REQUIRED_NAMES if not wanted.get(key))
    yield from validate_names(wanted, path.names)
    yield from _validate_shared(versions, path)
    yield from _validate_conversion(spec.get("conversion"), path.conversion)


def validate_names(wanted: Object, path: Path) -> Iterator[FieldError]:
    """Those names that are there: of the spec, or accepted ones."""
    for key in ("plural", "singular"):
        if (name := wanted.get(key)) and (faults := names.dns_1035_label(name)):
            yield path.child(key).invalid(name, ",".join(faults))
    for key in ("kind", "listKind"):
        if (name := wanted.get(key)) and (faults := names.dns_1035_label(name.lower())):
            yield path.child(key).invalid(name, _MIXED_CASE + ",".join(faults))
    yield from _validate_labels(wanted.get("shortNames") or (), path.shortNames)
    if wanted.get("kind") and wanted["kind"] == wanted.get("listKind"):
        yield path.listKind.invalid(wanted["listKind"], "kind and listKind may not be the same")
    yield from _validate_labels(wanted.get("categories") or (), path.categories)


def validate_stored(stored: Sequence[str], versions: Sequence[Object], path: Path) -> Iterator[FieldError]:
    """`status.storedVersions` names every version in which an object may be stored."""
    if not stored:
        yield path.invalid(list(stored), "must have at least one stored version")
        return
    for version in versions:
        name = version.get("name", "")
        if version.get("storage") and name not in stored:
            yield path.invalid(list(stored), f"must have the storage version {name}")
    known = {version.get("name", "") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            yield path[index].invalid(
                name,
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and "
                f"removes {name} from status.storedVersions",
            )


def validate_approval(crd: Object, old: Object | None) -> Iterator[FieldError]:
    """Groups of the Kubernetes project want an annotation, unless that was so already."""
    if not approval.is_protected(crd["spec"].get("group", "")):
        return
    state, reason = approval.approval(crd)
    if old is not None and approval.approval(old).state == state:
        return
    path = Path("metadata").annotations[approval.ANNOTATION]
    if state == "Missing":
        yield path.required(reason)
    elif state == "Invalid":
        yield path.invalid(crd["metadata"]["annotations"][approval.ANNOTATION], reason)


def validate_preserve(spec: Object, old: Object | None) -> Iterator[FieldError]:
    if spec.get("preserveUnknownFields") and not (old or {}).get("preserveUnknownFields"):
        yield Path("spec").preserveUnknownFields.invalid(
            True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema"
            " instead",
        )


def _validate_group(group: str, path: Path) -> Iterator[FieldError]:
    if not group:
        yield path.required()
    elif faults := names.dns_subdomain(group):
        yield path.invalid(group, ",".join(faults))
    elif "." not in group:
        yield path.invalid(group, "should be a domain with at least one dot")


def _validate_labels(values: Sequence[str], path: Path) -> Iterator[FieldError]:
    for index, value in enumerate(values):
        if faults := names.dns_1035_label(value):
            yield path[index].invalid(value, ",".join(faults))


def _validate_versions(versions: Sequence[Object], path: Path) -> Iterator[FieldError]:
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield path.versions[index].schema.openAPIV3Schema.required("schemas are required")
    for index, version in enumerate(versions):
        here = path.versions[index]
        if faults := names.dns_1035_label(version.get("name", "")):
            yield here.name.invalid(version.get("name", ""), ",".join(faults))
        yield from _validate_warning(version, here.deprecationWarning)
        if not _shared(versions, "schema"):
            yield from _validate_schema(version, bool(_status(version)), here.schema.openAPIV3Schema)
        if not _shared(versions, "subresources"):
            yield from validate_scale(_scale(version), here.subresources.scale)
        if not _shared(versions, "additionalPrinterColumns"):
            yield from _validate_columns(version, here.additionalPrinterColumns)
        if not _shared(versions, "selectableFields"):
            yield from validate_selectable(version, here.selectableFields)
    found = [version.get("name") for version in versions]
    if len(set(found)) != len(found):
        yield path.versions.invalid(list(versions), "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield path.versions.invalid(list(versions), "must have exactly one version marked as storage version")


def _validate_shared(versions: Sequence[Object], path: Path) -> Iterator[FieldError]:
    """What all versions have in common."""
    if not versions:
        return
    first = versions[0]
    if _shared(versions, "schema"):
        status = any(_status(version) for version in versions)
        yield from _validate_schema(first, status, path.validation.openAPIV3Schema)
    if _shared(versions, "subresources"):
        yield from validate_scale(_scale(first), path.subresources.scale)
    if _shared(versions, "additionalPrinterColumns"):
        yield from _validate_columns(first, path.additionalPrinterColumns)
    if _shared(versions, "selectableFields"):
        yield from validate_selectable(first, path.selectableFields)


def _shared(versions: Sequence[Object], key: str) -> bool:
    return all(version.get(key) == versions[0].get(key) for version in versions)


def _status(version: Object) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _scale(version: Object) -> Object | None:
    scale: Object | None = (version.get("subresources") or {}).get("scale")
    return scale


def _validate_schema(version: Object, status: bool, path: Path) -> Iterator[FieldError]:
    if schema := (version.get("schema") or {}).get("openAPIV3Schema"):
        yield from validate_definition(schema, path, status_subresource=status)


def _validate_columns(version: Object, path: Path) -> Iterator[FieldError]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from validate_column(column, path[index])


def _validate_warning(version: Object, path: Path) -> Iterator[FieldError]:
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield path.invalid(text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > MAX_WARNING:
        yield path.invalid(text, "must be <= 256 characters long")
    if not text:
        yield path.invalid(text, "must not be an empty string")
    if (index := next((i for i, letter in enumerate(text) if not letter.isprintable()), -1)) >= 0:
        at = len(text[:index].encode())
        yield path.invalid(
            text, f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
        )


def _validate_conversion(conversion: Object | None, path: Path) -> Iterator[FieldError]:
    if conversion is None:
        return
    strategy = conversion.get("strategy", "")
    if not strategy:
        yield path.strategy.required()
    elif strategy not in STRATEGIES:
        yield path.strategy.not_supported(strategy, STRATEGIES)
    webhook = conversion.get("webhook") or {}
    config, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or ()
    if strategy == "Webhook":
        if config is None:
            yield path.webhookClientConfig.required("required when strategy is set to Webhook")
        else:
            yield from validate_client(config, path.webhookClientConfig)
        yield from _validate_reviews(reviews, path.conversionReviewVersions)
        return
    unwanted = "should not be set when strategy is not set to Webhook"
    if config is not None:
        yield path.webhookClientConfig.forbidden(unwanted)
    if reviews:
        yield path.conversionReviewVersions.forbidden(unwanted)


def _validate_reviews(versions: Sequence[str], path: Path) -> Iterator[FieldError]:
    if not versions:
        yield path.required()
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield path[index].invalid(version, "duplicate version")
            continue
        yield from (path[index].invalid(version, fault) for fault in names.dns_1035_label(version))
    if not any(version in REVIEW_VERSIONS for version in versions):
        yield path.invalid(list(versions), f"must include at least one of {', '.join(REVIEW_VERSIONS)}")

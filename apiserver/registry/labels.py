"""Labels, label selectors and names of controllers inside objects: validation shared by the strategies.

Rules and wording: apimachinery `apis/meta/v1/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object


def validate_labels(labels: Object, path: Path) -> Iterator[FieldError]:
    for key, value in labels.items():
        for text in names.qualified_name(key):
            yield path.invalid(key, text)
        for text in names.label_value(value):
            yield path.invalid(value, text)


def validate_annotations(annotations: Object, path: Path) -> Iterator[FieldError]:
    for key in annotations:
        for text in names.qualified_name(key.lower()):
            yield path.invalid(key, text)


def validate_key(key: str, path: Path) -> Iterator[FieldError]:
    for text in names.qualified_name(key):
        yield path.invalid(key, text)


_is_http_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+").fullmatch
_NO_HTTP_PATH = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"


def validate_domain_path(text: str, path: Path) -> Iterator[FieldError]:
    """`acme.io/foo`: the name of a controller."""
    domain, _, rest = text.partition("/")
    if not text:
        yield path.required()
    elif not domain or not rest:
        yield path.invalid(text, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        for fault in names.dns_subdomain(domain):
            yield path.invalid(domain, fault)
        if not _is_http_path(rest):
            yield path.invalid(rest, _NO_HTTP_PATH)


def validate_selector(selector: Object, path: Path) -> Iterator[FieldError]:
    """A LabelSelector."""
    yield from validate_labels(selector.get("matchLabels") or {}, path.matchLabels)
    for index, term in enumerate(selector.get("matchExpressions") or ()):
        yield from validate_requirement(term, path.matchExpressions[index])


def validate_requirement(term: Object, path: Path) -> Iterator[FieldError]:
    """One entry of `matchExpressions`."""
    operator, values = term.get("operator", ""), term.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            yield path.child("values").required("must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield path.child("values").forbidden(
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
    else:
        yield path.operator.invalid(operator, "not a valid selector operator")
    yield from validate_key(term.get("key", ""), path.key)
    for index, value in enumerate(values):
        for text in names.label_value(value):
            yield path.child("values")[index].invalid(value, text)


def selects_all(selector: Object) -> bool:
    """Whether a LabelSelector has no condition at all."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")

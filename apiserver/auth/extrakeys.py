"""What the keys of a user's extra attributes look like: `acme.io/foo`.

Source: apimachinery `pkg/util/validation` (IsDomainPrefixedPath).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path

_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+").fullmatch
_HTTP_PATH_FAULT = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"


def domain_prefixed(key: str, path: Path) -> Iterator[FieldError]:
    """What keeps the key from being a path below a domain."""
    if not key:
        yield path.required()
        return
    domain, _, rest = key.partition("/")
    if not domain or not rest:
        yield path.invalid(key, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    for fault in names.dns_subdomain(domain):
        yield path.invalid(domain, fault)
    if not _HTTP_PATH(rest):
        yield path.invalid(rest, _HTTP_PATH_FAULT)

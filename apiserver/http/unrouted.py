"""Answers for requests that no route takes.

Below the path of a built-in group and version they are Statuses whose details name nothing; clients look into
these details, so they are there although empty. Anywhere else they are plain text, as of any web server.
"""

from __future__ import annotations

from kplane.api.errors import MethodNotAllowed, NotFound, not_found
from kplane.api.scheme import ResourceInfo, Scheme

from .requestinfo import RequestInfo

UNKNOWN = "the server could not find the requested resource"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
PAGE = b"404 page not found\n"


class UnknownPath(NotFound):
    """Nothing is at this path; the boundary answers with PAGE."""

    def __init__(self) -> None:
        super().__init__(UNKNOWN)


def unknown_resource(info: RequestInfo, scheme: Scheme) -> NotFound:
    """The group and version have no such resource."""
    rows = scheme.resources(info.group, info.version)
    return NotFound(UNKNOWN, {}) if any(row.custom is None for row in rows) else UnknownPath()


def misplaced(row: ResourceInfo) -> NotFound:
    """The resource has no such path: in a namespace, or in none."""
    return UnknownPath() if row.custom else NotFound(UNKNOWN, {})


def unknown_subresource(info: RequestInfo, row: ResourceInfo) -> NotFound:
    return not_found(row.plural, row.group, info.name) if row.custom else NotFound(UNKNOWN, {})


def not_allowed() -> MethodNotAllowed:
    """The path exists, for other methods."""
    return MethodNotAllowed(NOT_ALLOWED, {})

"""The scheme: every built-in group, version, kind and resource as one table.

`builtin()` holds what Kubernetes 1.37 serves in its stable groups. Custom resources make further rows of the
same kind at run time.
"""

from __future__ import annotations

from kplane.api.scheme.custom import CustomVersion, ScalePaths
from kplane.api.scheme.rows import ALL_VERBS, CREATE_ONLY, ResourceInfo, SubresourceInfo
from kplane.api.scheme.scheme import Scheme
from kplane.api.scheme.table import ROWS

__all__ = [
    "ALL_VERBS",
    "CREATE_ONLY",
    "CustomVersion",
    "ResourceInfo",
    "ScalePaths",
    "Scheme",
    "SubresourceInfo",
    "builtin",
]


def builtin() -> Scheme:
    """A new scheme with every built-in resource."""
    scheme = Scheme()
    for row in ROWS:
        scheme.add(row)
    return scheme

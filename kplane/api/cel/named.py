"""Types that expressions can name: `type(x) == string`, `google.protobuf.Timestamp`, `net.IP`."""

from __future__ import annotations

from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
    opaque,
    optional_of,
)

QUANTITY = opaque("kubernetes.Quantity")
URL = opaque("kubernetes.URL")
SEMVER = opaque("kubernetes.Semver")
FORMAT = opaque("kubernetes.NamedFormat")
IP = opaque("net.IP")
CIDR = opaque("net.CIDR")

_NAMED = {
    "bool": BOOL,
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "string": STRING,
    "bytes": BYTES,
    "null_type": NULL,
    "type": TYPE,
    "dyn": DYN,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "optional_type": optional_of(DYN),
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    **{kind.name: kind for kind in (QUANTITY, URL, SEMVER, FORMAT, IP, CIDR)},
}


def named_type(name: str) -> Type | None:
    return _NAMED.get(name)

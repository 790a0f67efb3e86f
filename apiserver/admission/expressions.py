"""What CEL expressions of admission may ask: the request and its objects. Shared by webhooks and policies.

Source: apiserver `admission/plugin/cel`.
"""

from __future__ import annotations

from functools import cache, lru_cache

from kplane.api.cel import BOOL, DYN, STRING, Environment, Program, list_of, map_of, object_of

_KIND = object_of("kubernetes.GroupVersionKind", dict.fromkeys(("group", "version", "kind"), STRING))
_RESOURCE = object_of(
    "kubernetes.GroupVersionResource", dict.fromkeys(("group", "version", "resource"), STRING)
)
_USER = object_of(
    "kubernetes.UserInfo",
    {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)
REQUEST = object_of(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
)


@cache
def environment() -> Environment:
    """The variables of match conditions."""
    return Environment({"object": DYN, "oldObject": DYN, "request": REQUEST, "namespaceObject": DYN})


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Program:
    """A condition. Raises CelError."""
    return environment().compile(expression, expected=BOOL)

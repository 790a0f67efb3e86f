"""Expressions of admission: the types of what they may name, and those of policies compiled.

Used when a policy is written, to refuse it, when it is in effect, and for a closer look at its types.
Source: apiserver `admission/plugin/cel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from . import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    CelError,
    Environment,
    Field,
    Program,
    Type,
    list_of,
    map_of,
    object_of,
)
from .library.authorizer import AUTHORIZER, RESOURCE_CHECK
from .library.mutation import JSON_PATCH, mutation_type

TEXT_OR_NULL: Sequence[Type] = (STRING, NULL)
JSON_PATCHES = list_of(JSON_PATCH)

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

_TEXTS = list_of(STRING)
_PAIRS = map_of(STRING, STRING)
_CONDITION = object_of(
    "kubernetes.NamespaceCondition",
    {
        "status": STRING,
        "type": STRING,
        "lastTransitionTime": TIMESTAMP,
        "message": STRING,
        "reason": STRING,
    },
)
_METADATA = object_of(
    "kubernetes.NamespaceMetadata",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "labels": _PAIRS,
        "annotations": _PAIRS,
        "UID": STRING,
        "creationTimestamp": TIMESTAMP,
        "deletionGracePeriodSeconds": INT,
        "deletionTimestamp": TIMESTAMP,
        "generation": INT,
        "resourceVersion": STRING,
        "finalizers": _TEXTS,
    },
)
NAMESPACE = object_of(
    "kubernetes.Namespace",
    {
        "metadata": _METADATA,
        "spec": object_of("kubernetes.NamespaceSpec", {"finalizers": _TEXTS}),
        "status": object_of(
            "kubernetes.NamespaceStatus", {"conditions": list_of(_CONDITION), "phase": STRING}
        ),
    },
)
_PLAIN = {kind.kind: kind for kind in (BOOL, BYTES, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT)}


@dataclass(frozen=True, slots=True)
class Expression:
    """One that compiles has a program, one that does not has a fault."""

    source: str
    program: Program | None = None
    fault: str = ""
    """As upstream words it: `compilation failed: …`, or which type it should have."""


@cache
def environment(*, params: bool, authorizer: bool = True, patches: bool = False) -> Environment:
    """Without `variables`. `patches`: with the types that mutations make."""
    names = {"object": DYN, "oldObject": DYN, "namespaceObject": NAMESPACE, "request": REQUEST}
    if params:
        names["params"] = DYN
    if authorizer:
        names |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
    return Environment(names, mutation_type if patches else None)


def compiled(
    environment: Environment, source: str, expected: Type | Sequence[Type] | None = BOOL
) -> Expression:
    try:
        return Expression(source, environment.compile(source, expected=expected))
    except CelError as error:
        return Expression(source, None, error.wrong_result or f"compilation failed: {error}")


class Composer:
    """Compiles the expressions of one policy, whose variables see those before them.

    `object` and `params`: types for a closer look; normally these may be anything.
    """

    def __init__(self, *, params: bool, object: Type | None = None, params_type: Type | None = None) -> None:
        self._params = params
        self._variables = object_of("kubernetes.variables", {})
        self._typed: dict[str, Type] = {}
        if object is not None:
            self._typed |= {"object": object, "oldObject": object}
        if params_type is not None:
            self._typed["params"] = params_type
        self._made: dict[tuple[bool, bool], Environment] = {}

    def add(self, name: str, source: str) -> Expression:
        """The next variable."""
        expression = self.compile(source, None)
        kind = _declared(expression.program.type) if expression.program else DYN
        assert self._variables.structure is not None
        # In place: an environment for each variable would make their number costly.
        self._variables.structure.known[name] = Field(kind, name, required=True)
        return expression

    def compile(
        self,
        source: str,
        expected: Type | Sequence[Type] | None = BOOL,
        *,
        authorizer: bool = True,
        patches: bool = False,
    ) -> Expression:
        key = authorizer, patches
        if key not in self._made:
            plain = environment(params=self._params, authorizer=authorizer, patches=patches)
            self._made[key] = plain.extended({"variables": self._variables, **self._typed})
        return compiled(self._made[key], source, expected)


def _declared(kind: Type) -> Type:
    """The type of a variable with such a value; what is no plain value, list or map may be anything."""
    match kind.kind:
        case "list":
            return list_of(_declared(kind.params[0]))
        case "map":
            return map_of(_declared(kind.params[0]), _declared(kind.params[1]))
    return _PLAIN.get(kind.kind, DYN)

"""`authorizer.group('apps').resource('deployments').check('create').allowed()`.

Expressions are evaluated without waiting, authorizers may have to: the variable is bound to an `Authorizer`
made of a function that decides at once, or raises `Undecided`. Then the caller awaits the answer for
`error.check`, remembers it, and evaluates again; a check costs so much that an expression can make two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ... import names
from .. import charges
from ..errors import EvaluationError
from ..overload import Charge, Overload, method
from ..types import BOOL, STRING, Type, opaque
from ..values import Opaque

CHECK_COST = 350_000
_PREFIX = "kubernetes.authorization."
AUTHORIZER = opaque(f"{_PREFIX}Authorizer")
PATH_CHECK = opaque(f"{_PREFIX}PathCheck")
GROUP_CHECK = opaque(f"{_PREFIX}GroupCheck")
RESOURCE_CHECK = opaque(f"{_PREFIX}ResourceCheck")
DECISION = opaque(f"{_PREFIX}Decision")


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked: a path, or a resource.

    `service_account` is namespace and name; None: the one who sent the request. Selectors are as written; one
    that does not parse is to be left out.
    """

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Decision(Opaque):
    """The answer; `error` is empty if there was none."""

    type_name = DECISION.name
    allowed: bool
    reason: str = ""
    error: str = ""


class Undecided(Exception):
    """The answer is not known yet; `check` is what to find out before evaluating again."""

    def __init__(self, check: Check) -> None:
        self.check = check
        super().__init__("authorization check is pending")


Decide = Callable[[Check], Decision]


@dataclass(frozen=True, slots=True)
class _Builder(Opaque):
    decide: Decide
    check: Check = Check()


class Authorizer(_Builder):
    """The value of the variable `authorizer`; may raise Undecided out of `evaluate`."""

    __slots__ = ()
    type_name = AUTHORIZER.name


class PathCheck(_Builder):
    __slots__ = ()
    type_name = PATH_CHECK.name


class GroupCheck(_Builder):
    __slots__ = ()
    type_name = GROUP_CHECK.name


class ResourceCheck(_Builder):
    """Also the value of the variable `authorizer.requestResource`."""

    __slots__ = ()
    type_name = RESOURCE_CHECK.name


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return PathCheck(authorizer.decide, replace(authorizer.check, path=path))


def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer.decide, replace(authorizer.check, group=group))


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.dns_subdomain(name):
        raise EvaluationError(f"Invalid service account name: {', '.join(names.dns_subdomain(name))}")
    if names.dns_label(namespace):
        raise EvaluationError(f"Invalid service account namespace: {', '.join(names.dns_label(namespace))}")
    return Authorizer(authorizer.decide, replace(authorizer.check, service_account=(namespace, name)))


def _resource(group: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return ResourceCheck(group.decide, replace(group.check, resource=resource))


def _with(field: str) -> Callable[[Any, str], ResourceCheck]:
    def run(check: ResourceCheck, value: str) -> ResourceCheck:
        changed: dict[str, Any] = {field: value}
        return ResourceCheck(check.decide, replace(check.check, **changed))

    return run


def _check(builder: _Builder, verb: str) -> Decision:
    return builder.decide(replace(builder.check, verb=verb))


_CHECK = charges.fixed(CHECK_COST)
_REFINED = {"subresource": "subresource", "namespace": "namespace", "name": "name"}
_SELECTED = {"fieldSelector": "field_selector", "labelSelector": "label_selector"}


def _refinement(name: str, field: str, params: tuple[Type, ...], charge: Charge | None) -> Overload:
    return method(name, params, RESOURCE_CHECK, _with(field), charge)


OVERLOADS: list[Overload] = [
    method("path", (AUTHORIZER, STRING), PATH_CHECK, _path),
    method("group", (AUTHORIZER, STRING), GROUP_CHECK, _group),
    method("serviceAccount", (AUTHORIZER, STRING, STRING), AUTHORIZER, _service_account),
    method("resource", (GROUP_CHECK, STRING), RESOURCE_CHECK, _resource),
    *(_refinement(name, field, (RESOURCE_CHECK, STRING), None) for name, field in _REFINED.items()),
    *(
        _refinement(name, field, (RESOURCE_CHECK, STRING), charges.reads(1))
        for name, field in _SELECTED.items()
    ),
    method("check", (PATH_CHECK, STRING), DECISION, _check, _CHECK),
    method("check", (RESOURCE_CHECK, STRING), DECISION, _check, _CHECK),
    method("allowed", (DECISION,), BOOL, lambda decision: decision.allowed),
    method("reason", (DECISION,), STRING, lambda decision: decision.reason),
    method("errored", (DECISION,), BOOL, lambda decision: bool(decision.error)),
    method("error", (DECISION,), STRING, lambda decision: decision.error),
]

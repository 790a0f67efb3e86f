"""What CEL expressions of admission may ask: the request, its objects, and what its user may do. Shared by
webhooks and policies.

Source: apiserver `admission/plugin/cel`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from kplane.api.cel import BOOL, DYN, Budget, Environment, Program
from kplane.api.cel.admission import REQUEST
from kplane.api.cel.library.authorizer import (
    AUTHORIZER,
    RESOURCE_CHECK,
    Authorizer,
    Check,
    Decision,
    ResourceCheck,
    Undecided,
)

from ..auth.user import User, authenticated
from ..http.requestinfo import RequestInfo
from .chain import Attributes

Allows = Callable[[User, RequestInfo], Awaitable[bool]]
"""Whether a user may do that."""


@cache
def environment() -> Environment:
    """The variables of match conditions."""
    return Environment(
        {
            "object": DYN,
            "oldObject": DYN,
            "request": REQUEST,
            "namespaceObject": DYN,
            "authorizer": AUTHORIZER,
            "authorizer.requestResource": RESOURCE_CHECK,
        }
    )


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Program:
    """A condition. Raises CelError."""
    return environment().compile(expression, expected=BOOL)


class Permissions:
    """What the user of one request may do, for expressions: each question is put once."""

    def __init__(self, attributes: Attributes, allows: Allows) -> None:
        self._attributes = attributes
        self._allows = allows
        self._known: dict[Check, Decision] = {}

    def bindings(self) -> Mapping[str, Any]:
        """The values of the variables that ask."""
        info = self._attributes.info
        check = Check(
            group=info.group,
            resource=info.plural,
            subresource=self._attributes.subresource,
            namespace=self._attributes.namespace,
            name=self._attributes.name,
        )
        return {
            "authorizer": Authorizer(self._decide),
            "authorizer.requestResource": ResourceCheck(self._decide, check),
        }

    async def evaluate(self, program: Program, bindings: Mapping[str, Any], budget: Budget) -> Any:
        """The value of a program. Raises EvaluationError, BudgetExceeded."""
        left = budget.left
        while True:
            try:
                return program.evaluate(bindings, budget)
            except Undecided as question:
                await self.settle(question.check)
                # Waiting costs nothing: it begins anew with what it had.
                budget.left = left

    def _decide(self, check: Check) -> Decision:
        known = self._known.get(check)
        if known is None:
            raise Undecided(check)
        return known

    async def settle(self, check: Check) -> None:
        """Find out what a check asks."""
        user = self._attributes.user
        if check.service_account is not None:
            user = _service_account(*check.service_account)
        self._known[check] = Decision(await self._allows(user, _asked(check, self._attributes.info.version)))


def _service_account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return authenticated(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def _asked(check: Check, version: str) -> RequestInfo:
    """The request that a check asks about."""
    if check.path:
        return RequestInfo(check.verb, check.path, check.verb.upper(), {})
    return RequestInfo(
        check.verb,
        "",
        check.verb.upper(),
        {},
        group=check.group,
        version=version,
        namespace=check.namespace,
        resource=check.resource,
        name=check.name,
        subresource=check.subresource,
    )

"""Pairs the policies that a request concerns with their bindings and parameters.

Source: apiserver `admission/plugin/policy/generic` (`policy_dispatcher.go`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kplane.api.errors import ApiError
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from .params import Misconfigured, Params
from .request import Request, Surroundings
from .source import Binding, Candidate, ParamRef, Policy

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Invocation(Generic[E]):
    """A policy is to be evaluated for a binding, once for each of `params`; the object is to be shown as
    `row` says."""

    policy: Policy[E]
    binding: Binding
    row: ResourceInfo
    params: Sequence[Object | None]


@dataclass(frozen=True, slots=True)
class Failure(Generic[E]):
    """It could not be found out whether, or with what, a policy is to be evaluated."""

    policy: Policy[E]
    binding: Binding | None
    why: str


class Invoker:
    def __init__(self, surroundings: Surroundings) -> None:
        self._with = surroundings
        self._params = Params(surroundings.registry)

    async def invocations(
        self, candidate: Candidate[E], request: Request
    ) -> AsyncIterator[Invocation[E] | Failure[E]]:
        policy, attributes, read = candidate.policy, request.attributes, self._with.namespace
        try:
            row = await candidate.placed.match(attributes, read)
            if row is None:
                return
            if policy.param_kind is not None and candidate.params is None:
                why = f"failed to find resource referenced by paramKind: '{policy.param_kind}'"
                raise Misconfigured(why)
            await request.shown(row)
        except (ApiError, Misconfigured) as error:
            yield Failure(policy, None, f"failed to configure policy: {error}")
            return
        for binding, placed in candidate.bindings:
            try:
                if await placed.match(attributes, read) is not None:
                    params = await self._collect(candidate, binding.param_ref, request)
                    yield Invocation(policy, binding, row, params)
            except (ApiError, Misconfigured) as error:
                yield Failure(policy, binding, f"failed to configure binding: {error}")

    async def _collect(
        self, candidate: Candidate[E], ref: ParamRef | None, request: Request
    ) -> Sequence[Object | None]:
        kind = candidate.policy.param_kind
        return await self._params.collect(kind, candidate.params, ref, request.namespace)

"""Nobody grants what they do not hold: writes of roles and bindings, checked after mutating admission and
before validation.

Who may `escalate` the role, or `bind` it, may grant anything by it; members of `system:masters` may always.

Source: registry `rbac/{role,clusterrole,…}/policybased`, `rbac/escalation_check.go`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from kplane.api.errors import ApiError, Forbidden, forbidden
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object

from ...admission.chain import Attributes as Write
from ...admission.chain import Chain, Operation
from ..authorizer import Attributes, Verdict, aggregate
from ..user import MASTERS_GROUP, User
from .index import CLUSTER_ROLE, GROUP, PolicyIndex
from .rules import Rule, compact, listed, rules_of, uncovered

Authorize = Callable[[Attributes], Awaitable[Verdict]]

EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",)))
_ROLES = frozenset({"roles", "clusterroles"})
_BINDINGS = frozenset({"rolebindings", "clusterrolebindings"})


class GuardedChain(Chain):
    """Admission with this check behind what mutates: nothing after it changes what is granted."""

    def __init__(self, chain: Chain, guard: EscalationGuard) -> None:
        super().__init__(chain.plugins)
        self._chain = chain
        self._guard = guard

    async def admit(self, attributes: Write) -> None:
        await self._chain.admit(attributes)
        if attributes.info.group == GROUP:
            await self._guard.check(attributes)

    async def validate(self, attributes: Write) -> None:
        await self._chain.validate(attributes)


class EscalationGuard:
    def __init__(self, index: PolicyIndex, authorize: Authorize) -> None:
        self._index = index
        self._authorize = authorize

    async def check(self, write: Write) -> None:
        """Raises Forbidden, and NotFound for a binding to a role that does not exist."""
        if write.object is None or write.subresource or MASTERS_GROUP in write.user.groups:
            return
        if write.operation is Operation.UPDATE and _frees_only(write.object, write.old):
            return
        if write.info.plural in _ROLES:
            await self._check_role(write, write.object)
        elif write.info.plural in _BINDINGS:
            await self._check_binding(write, write.object)

    async def _check_role(self, write: Write, role: Object) -> None:
        asked = Attributes(
            write.user,
            "escalate",
            group=GROUP,
            version="*",
            resource=write.info.plural,
            namespace=write.namespace,
            # A right to one name is none to create it: who asked to create could not be judged by the name.
            name="" if write.operation is Operation.CREATE else write.name,
        )
        if (await self._authorize(asked)).allowed:
            return
        await self._confirm(write, rules_of(role))
        # What it gathers cannot be known beforehand.
        if role.get("aggregationRule") is None and (write.old or {}).get("aggregationRule") is None:
            return
        try:
            await self._confirm(write, EVERYTHING)
        except Forbidden as error:
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise _refused(write, why) from error

    async def _check_binding(self, write: Write, binding: Object) -> None:
        reference = binding.get("roleRef") or {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        if kind not in ("Role", CLUSTER_ROLE):
            return  # Validation refuses it.
        asked = Attributes(
            write.user,
            "bind",
            group=GROUP,
            version="*",
            resource="clusterroles" if kind == CLUSTER_ROLE else "roles",
            namespace=write.namespace,
            name=name,
        )
        if (await self._authorize(asked)).allowed:
            return
        await self._confirm(write, await self._rules_of(kind, name, write.namespace))

    async def _rules_of(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...]:
        # The role may have been written a moment ago, with more rules than before.
        await self._index.catch_up()
        return self._index.rules_of_role(kind, name, namespace)

    async def _confirm(self, write: Write, wanted: Iterable[Rule]) -> None:
        await self._index.catch_up()
        held, errors = self._held(write.user, write.namespace)
        missing = uncovered(held, wanted)
        if missing:
            raise _refused(write, _message(write.user, missing, errors))

    def _held(self, user: User, namespace: str) -> tuple[list[Rule], list[ApiError]]:
        holdings = [*self._index.held(user, namespace)]
        rules = [rule for holding in holdings for rule in holding.rules]
        return rules, [error for holding in holdings for error in holding.errors]


def _message(user: User, missing: Iterable[Rule], errors: Iterable[ApiError]) -> str:
    who = f'user "{user.name}" (groups={listed(user.groups)})'
    lines = "\n".join(sorted({str(rule) for rule in compact(missing)}))
    message = f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
    if texts := [error.message for error in errors]:
        message += f"; resolution errors: {aggregate(texts) if len(texts) > 1 else f'[{texts[0]}]'}"
    return message


def _refused(write: Write, why: str) -> Forbidden:
    return forbidden(write.info.plural, GROUP, write.shown_name, why)


def _frees_only(new: Object, old: Object | None) -> bool:
    """Whether the write changes nothing but what the garbage collector needs to delete the object."""
    if old is None:
        return False
    return _without_owners(new) == _without_owners(old)


def _without_owners(obj: Object) -> Object:
    plain: Object = duplicate(obj)
    for name in ("ownerReferences", "finalizers", "managedFields", "selfLink"):
        plain["metadata"].pop(name, None)
    return plain

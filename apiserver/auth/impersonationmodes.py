"""The ways in which one may be allowed to act as another user, the narrowest first.

A constrained mode asks two things: whether the requestor may take on this identity (`impersonate:MODE`), and
whether they may make this very request while they do (`impersonate-on:MODE:VERB`). What the other user may do
is asked afterwards, as ever.

- associated-node: a service account acts as the node that its token's Pod runs on;
- arbitrary-node, serviceaccount: by name alone; the groups are those that such users always have;
- user-info: everybody else, with groups, uid and extra, but never as a member of `system:masters`;
- legacy: `impersonate`, for whatever request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from kplane.api import names as objectnames
from kplane.api.clock import Clock
from kplane.api.field import Path

from .authorizer import Attributes, Authorizer, refusal
from .extrakeys import domain_prefixed
from .impersonationmetrics import ImpersonationMetrics
from .serviceaccounts import names
from .user import ANONYMOUS_NAME, AUTHENTICATED_GROUP, MASTERS_GROUP, UNAUTHENTICATED_GROUP, User

NODE_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_KEYS = "authentication.kubernetes.io/associated-node-keys"
_GROUP = "authentication.k8s.io"
_MANY = 4
"""Of so many parts it is asked first whether all are allowed."""


@dataclass(frozen=True)
class Wanted:
    """Who the request wants to be."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]

    @property
    def only_named(self) -> bool:
        return not (self.uid or self.groups or self.extra)


@dataclass(frozen=True)
class Impersonated:
    """Who the request acts as. `constraint`: the verb that allowed it; empty for the mode of before."""

    user: User
    constraint: str = ""


@dataclass(frozen=True)
class Kind:
    """A mode: its name, and whom it is for."""

    name: str
    applies: Callable[[Wanted, User], bool]
    constrained: bool = True
    for_own_node: bool = False


def node_name(username: str) -> str:
    """Empty for who is no node."""
    name = username.removeprefix(NODE_PREFIX)
    return "" if name == username or [*objectnames.dns_subdomain(name)] else name


def _own_node(asked: Wanted, requestor: User) -> bool:
    name = node_name(asked.name)
    is_account = names.split_username(requestor.name) is not None
    return (
        asked.only_named
        and bool(name)
        and is_account
        and tuple(requestor.extra.get(NODE_NAME, ())) == (name,)
    )


def _node(asked: Wanted, requestor: User) -> bool:
    return asked.only_named and bool(node_name(asked.name))


def _account(asked: Wanted, requestor: User) -> bool:
    return asked.only_named and names.split_username(asked.name) is not None


def _anybody_else(asked: Wanted, requestor: User) -> bool:
    return not node_name(asked.name) and names.split_username(asked.name) is None


MODES = (
    Kind("associated-node", _own_node, for_own_node=True),
    Kind("arbitrary-node", _node),
    Kind("serviceaccount", _account),
    Kind("user-info", _anybody_else),
    Kind("legacy", lambda asked, requestor: True, constrained=False),
)


class Mode:
    def __init__(
        self, kind: Kind, authorizer: Authorizer, metrics: ImpersonationMetrics, clock: Clock
    ) -> None:
        self.name = kind.name
        self._kind = kind
        self._authorizer = authorizer
        self._metrics = metrics
        self._clock = clock
        self._verb = f"impersonate:{kind.name}" if kind.constrained else "impersonate"
        self._group = _GROUP if kind.constrained else ""

    async def impersonated(self, asked: Wanted, request: Attributes) -> Impersonated | None:
        """None: this mode is not for these two. Raises Forbidden."""
        if not self._kind.applies(asked, request.user):
            return None
        if self._kind.constrained:
            verb = f"impersonate-on:{self.name}:{request.verb}"
            await self._allow(msgspec.structs.replace(request, verb=verb))
        await self._allow(self._username(asked, request.user))
        if asked.uid:
            await self._allow(self._question(request.user, "uids", asked.uid, group=_GROUP))
        await self._allow_groups(asked, request.user)
        await self._allow_extra(asked, request.user)
        user = User(asked.name, asked.uid, self._groups(asked), asked.extra)
        return Impersonated(user, self._verb if self._kind.constrained else "")

    async def _allow(self, question: Attributes) -> None:
        """Raises Forbidden."""
        if refused := await self._refused(question):
            raise refused

    async def _refused(self, question: Attributes) -> Exception | None:
        if self._kind.for_own_node:
            question = _for_any_node(question, self._verb)
        began = self._clock.monotonic()
        verdict = await self._authorizer.authorize(question)
        self._metrics.asked(self.name, verdict.allowed, self._clock.monotonic() - began)
        if verdict.allowed:
            return None
        return refusal(question, ": ".join(filter(None, (verdict.error, verdict.reason))))

    def _username(self, asked: Wanted, user: User) -> Attributes:
        account = names.split_username(asked.name)
        if account is not None:
            return self._question(user, "serviceaccounts", account[1], namespace=account[0])
        if self._kind.constrained and (name := node_name(asked.name)):
            return self._question(user, "nodes", name)
        return self._question(user, "users", asked.name)

    async def _allow_groups(self, asked: Wanted, user: User) -> None:
        """Raises Forbidden."""
        if self._kind.constrained:
            if "" in asked.groups:
                said = "impersonating the empty string group is not allowed"
                raise refusal(self._question(user, "groups", ""), said)
            if MASTERS_GROUP in asked.groups:
                said = f"impersonating the {MASTERS_GROUP} group is not allowed"
                raise refusal(self._question(user, "groups", MASTERS_GROUP), said)
            everything = self._question(user, "groups", "*")
            if len(asked.groups) >= _MANY and not await self._refused(everything):
                return
        for group in asked.groups:
            await self._allow(self._question(user, "groups", group))

    async def _allow_extra(self, asked: Wanted, user: User) -> None:
        """Raises Forbidden."""
        if self._kind.constrained:
            for fault in _extra_faults(asked.extra):
                raise refusal(self._question(user, "userextras", "", group=_GROUP), fault)
            everything = self._question(user, "userextras", "*", group=_GROUP, subresource="*")
            many = max(len(asked.extra), sum(map(len, asked.extra.values()))) >= _MANY
            if many and not await self._refused(everything):
                return
        for key, values in asked.extra.items():
            for value in values:
                await self._allow(self._question(user, "userextras", value, group=_GROUP, subresource=key))

    def _groups(self, asked: Wanted) -> tuple[str, ...]:
        groups = asked.groups
        account = names.split_username(asked.name)
        if account is not None and not groups:
            groups = names.groups(account[0])
        elif self._kind.constrained and node_name(asked.name):
            groups = (NODES_GROUP,)
        if asked.name == ANONYMOUS_NAME:
            return groups if UNAUTHENTICATED_GROUP in groups else (*groups, UNAUTHENTICATED_GROUP)
        if {AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP} & set(groups):
            return groups
        return (*groups, AUTHENTICATED_GROUP)

    def _question(
        self,
        user: User,
        resource: str,
        name: str,
        *,
        namespace: str = "",
        group: str = "",
        subresource: str = "",
    ) -> Attributes:
        return Attributes(
            user, self._verb, group=group or self._group, version="v1", resource=resource,
            subresource=subresource, namespace=namespace, name=name,
        )  # fmt: skip


def _for_any_node(question: Attributes, verb: str) -> Attributes:
    """A node agent asks the same on every node: which node it is was seen to already."""
    keys = {NODE_KEYS: tuple(sorted(question.user.extra))}
    user = User(question.user.name, question.user.uid, question.user.groups, keys)
    name = "*" if question.verb == verb else question.name
    return msgspec.structs.replace(question, user=user, name=name)


def _extra_faults(extra: dict[str, tuple[str, ...]]) -> Iterator[str]:
    path = Path("extra").child("key")
    for key, values in extra.items():
        if not key:
            yield "impersonating the empty string key in extra is not allowed"
        faults = list(map(str, domain_prefixed(key, path)))
        if faults:
            text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
            yield f"impersonating an invalid key in extra is not allowed: {text}"
        if key != key.lower():
            yield f'impersonating a non-lowercase key in extra is not allowed: "{key}"'
        if "" in values:
            yield "impersonating the empty string value in extra is not allowed"

"""Roles and bindings, filed so that what a user holds is found at once.

Reads: ClusterRoles, ClusterRoleBindings, Roles and RoleBindings, from their watch caches, change by change.
What a user holds in a namespace is put together on their first request and kept until any of these changes.

Source of the rules: apiserver plugin `auth/authorizer/rbac`, registry `rbac/validation/rule.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kplane.api.errors import ApiError, not_found

from ...storage import codec
from ...storage.cache import WatchCache
from ...storage.events import Item
from ..authorizer import Attributes, Decision, Verdict
from ..feed import Feed
from ..user import User
from .rules import ALL, Rule, path_matches, rules_of

GROUP = "rbac.authorization.k8s.io"
CLUSTER_ROLE = "ClusterRole"
MAX_KEPT = 1_000_000
"""Rules in all the holdings that are kept, about 100 bytes each."""

Subject = tuple[str, str]
"""Kind (User or Group) and name."""


@dataclass(frozen=True)
class Binding:
    """`namespace` is empty for a ClusterRoleBinding. `subjects` has service accounts as users; its values are
    how the subject is described."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: Mapping[Subject, str]

    def reason(self, subject: Subject) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return (
            f'RBAC: allowed by {kind} "{name}" of {self.role_kind} "{self.role}" to {self.subjects[subject]}'
        )


class Held(NamedTuple):
    """A rule and why somebody has it."""

    rule: Rule
    verdict: Verdict


@dataclass
class Holding:
    """What a user holds by the bindings of one scope: a namespace, or the cluster."""

    rules: list[Rule] = field(default_factory=list)
    resources: dict[str, list[Held]] = field(default_factory=dict)
    paths: dict[str, list[Held]] = field(default_factory=dict)
    patterns: list[tuple[str, Held]] = field(default_factory=list)
    errors: list[ApiError] = field(default_factory=list)
    """Of roles that are bound and do not exist."""

    def add(self, rules: tuple[Rule, ...], verdict: Verdict) -> None:
        self.rules += rules
        for rule in rules:
            held = Held(rule, verdict)
            for resource in rule.resources:
                self.resources.setdefault(resource, []).append(held)
            for path in rule.paths:
                if path.endswith(ALL):
                    self.patterns.append((path, held))
                else:
                    self.paths.setdefault(path, []).append(held)

    def decide(self, attributes: Attributes) -> Verdict | None:
        if not attributes.is_resource:
            return self._decide_path(attributes)
        for resource in _resources(attributes):
            for rule, verdict in self.resources.get(resource, ()):
                if (
                    (attributes.verb in rule.verbs or ALL in rule.verbs)
                    and (attributes.group in rule.groups or ALL in rule.groups)
                    and (not rule.names or attributes.name in rule.names)
                ):
                    return verdict
        return None

    def _decide_path(self, attributes: Attributes) -> Verdict | None:
        for rule, verdict in self.paths.get(attributes.path, ()):
            if attributes.verb in rule.verbs or ALL in rule.verbs:
                return verdict
        for pattern, (rule, verdict) in self.patterns:
            if path_matches(pattern, attributes.path) and (
                attributes.verb in rule.verbs or ALL in rule.verbs
            ):
                return verdict
        return None


def _resources(attributes: Attributes) -> Iterator[str]:
    yield attributes.combined
    if attributes.subresource:
        yield f"*/{attributes.subresource}"
    yield ALL


class PolicyIndex:
    """Everything that roles and bindings say."""

    def __init__(self, cache: Callable[[str, str, str], WatchCache]) -> None:
        """`cache` finds one by group, version and plural."""
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._by_subject: dict[str, dict[Subject, dict[str, Binding]]] = {}
        self._holdings: dict[tuple[str, tuple[str, ...], str], Holding] = {}
        self._kept = 0
        self._feeds = [
            self._feed(cache, "clusterroles", self._put_role, self._drop_role, self._clear_cluster_roles),
            self._feed(cache, "roles", self._put_role, self._drop_role, self._clear_roles),
            self._feed(
                cache, "clusterrolebindings", self._put_binding, self._drop_binding, self._clear_cluster
            ),
            self._feed(cache, "rolebindings", self._put_binding, self._drop_binding, self._clear_bindings),
        ]

    @staticmethod
    def _feed(
        cache: Callable[[str, str, str], WatchCache],
        plural: str,
        put: Callable[[Item], None],
        drop: Callable[[Item], None],
        clear: Callable[[], None],
    ) -> Feed:
        return Feed(lambda: cache(GROUP, "v1", plural), put, drop, clear)

    async def refresh(self) -> bool:
        """Take in what the caches know; whether anything changed."""
        changed = False
        for feed in self._feeds:
            changed |= await feed.refresh()
        if changed:
            self._holdings.clear()
            self._kept = 0
        return changed

    async def catch_up(self) -> bool:
        """Take in every acknowledged write. Raises ApiError, StoreError."""
        for feed in self._feeds:
            await feed.catch_up()
        return await self.refresh()

    def held(self, user: User, namespace: str) -> Iterator[Holding]:
        """By the bindings of the cluster, then by those of the namespace."""
        yield self._holding(user, "")
        if namespace:
            yield self._holding(user, namespace)

    def rules_of_role(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...]:
        """Those of the role that a binding in `namespace` refers to. Raises NotFound."""
        if kind == CLUSTER_ROLE:
            found = self._roles.get(("", name))
            if found is None:
                raise not_found("clusterrole", GROUP, name)
            return found
        found = self._roles.get((namespace, name))
        if found is None or not namespace:
            raise not_found("role", GROUP, name)
        return found

    def _holding(self, user: User, namespace: str) -> Holding:
        key = (user.name, user.groups, namespace)
        known = self._holdings.get(key)
        if known is None:
            known = self._gather(user, namespace)
            self._kept += len(known.rules) + 10
            if self._kept > MAX_KEPT:
                self._holdings.clear()
                self._kept = len(known.rules) + 10
            self._holdings[key] = known
        return known

    def _gather(self, user: User, namespace: str) -> Holding:
        filed = self._by_subject.get(namespace, {})
        found: dict[str, tuple[Binding, Subject]] = {}
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            for name, binding in filed.get(subject, {}).items():
                found.setdefault(name, (binding, subject))
        holding = Holding()
        for _, (binding, subject) in sorted(found.items()):
            try:
                rules = self.rules_of_role(binding.role_kind, binding.role, binding.namespace)
            except ApiError as error:
                holding.errors.append(error)
                continue
            holding.add(rules, Verdict(Decision.ALLOW, binding.reason(subject)))
        return holding

    def _put_role(self, item: Item) -> None:
        self._roles[item.namespace, item.name] = rules_of(codec.decode(item.wire))

    def _drop_role(self, item: Item) -> None:
        self._roles.pop((item.namespace, item.name), None)

    def _put_binding(self, item: Item) -> None:
        self._drop_binding(item)
        binding = binding_of(codec.decode(item.wire), item.namespace)
        self._bindings.setdefault(item.namespace, {})[item.name] = binding
        filed = self._by_subject.setdefault(item.namespace, {})
        for subject in binding.subjects:
            filed.setdefault(subject, {})[item.name] = binding

    def _drop_binding(self, item: Item) -> None:
        binding = self._bindings.get(item.namespace, {}).pop(item.name, None)
        if binding is None:
            return
        filed = self._by_subject[item.namespace]
        for subject in binding.subjects:
            del filed[subject][item.name]
            if not filed[subject]:
                del filed[subject]
        if not filed:
            del self._by_subject[item.namespace]
            del self._bindings[item.namespace]

    def _clear_cluster_roles(self) -> None:
        self._roles = {key: rules for key, rules in self._roles.items() if key[0]}

    def _clear_roles(self) -> None:
        self._roles = {key: rules for key, rules in self._roles.items() if not key[0]}

    def _clear_cluster(self) -> None:
        self._bindings.pop("", None)
        self._by_subject.pop("", None)

    def _clear_bindings(self) -> None:
        for namespace in [name for name in self._bindings if name]:
            self._bindings.pop(namespace)
            self._by_subject.pop(namespace, None)


def binding_of(obj: Mapping[str, Any], namespace: str) -> Binding:
    subjects: dict[Subject, str] = {}
    for entry in obj.get("subjects") or ():
        kind, name = entry.get("kind", ""), entry.get("name", "")
        if kind == "ServiceAccount":
            home = entry.get("namespace") or namespace
            if home:
                subjects["User", f"system:serviceaccount:{home}:{name}"] = f'{kind} "{name}/{home}"'
        else:
            subjects[kind, name] = f'{kind} "{name}"'
    reference = obj.get("roleRef") or {}
    return Binding(
        namespace, obj["metadata"]["name"], reference.get("kind", ""), reference.get("name", ""), subjects
    )

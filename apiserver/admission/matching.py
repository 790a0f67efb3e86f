"""Which requests a rule, a namespace selector or an object selector is about.

Shared by webhooks and admission policies. Rules: apiserver `admission/plugin/webhook/predicates`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kplane.api.errors import not_found
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme
from kplane.api.selectors import Selector, from_label_selector

from .chain import Attributes

ReadNamespace = Callable[[str], Awaitable[Object | None]]
"""The namespace of a name as it is now, or None."""

ADMISSION_GROUP = "admissionregistration.k8s.io"
CONFIGURATION_KINDS = frozenset(
    {
        "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
    }
)  # fmt: skip
"""What configures admission is not subject to it: whoever locks himself out can still get in again."""

VIRTUAL_RESOURCES = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)
"""Questions about identity and permission: (group, plural). A webhook that had to admit them could not ask
any itself (upstream's ExcludeAdmissionWebhookVirtualResources)."""


class Place(NamedTuple):
    """All that a rule looks at."""

    group: str
    version: str
    plural: str
    subresource: str
    operation: str
    namespaced: bool
    """Whether the object lives in a namespace; a Namespace does not."""


def place_of(attributes: Attributes) -> Place:
    info = attributes.info
    return Place(
        info.group,
        info.version,
        info.plural,
        attributes.subresource,
        attributes.operation.value,
        bool(attributes.namespace) and info.namespaced,
    )


def exempt(attributes: Attributes) -> bool:
    """Whether no webhook is ever asked about this."""
    info = attributes.info
    if info.group == ADMISSION_GROUP:
        return attributes.shape.kind in CONFIGURATION_KINDS
    return (info.group, info.plural) in VIRTUAL_RESOURCES


@dataclass(frozen=True, slots=True)
class Rule:
    """A `RuleWithOperations`."""

    operations: Sequence[str]
    groups: Sequence[str]
    versions: Sequence[str]
    resources: Sequence[str]
    scope: str = "*"

    def matches(self, place: Place) -> bool:
        return (
            self._in_scope(place)
            and _named(self.operations, place.operation)
            and _named(self.groups, place.group)
            and _named(self.versions, place.version)
            and self._is_resource(place)
        )

    def _in_scope(self, place: Place) -> bool:
        match self.scope:
            case "*":
                return True
            case "Namespaced":
                return place.namespaced
            case "Cluster":
                return not place.namespaced
        return False

    def _is_resource(self, place: Place) -> bool:
        for name in self.resources:
            resource, _, subresource = name.partition("/")
            if resource in ("*", place.plural) and subresource in ("*", place.subresource):
                return True
        return False


def rule_of(obj: Object) -> Rule:
    """The rule that is written so; it was validated."""
    return Rule(
        tuple(obj.get("operations") or ()),
        tuple(obj.get("apiGroups") or ()),
        tuple(obj.get("apiVersions") or ()),
        tuple(obj.get("resources") or ()),
        obj.get("scope") or "*",
    )


def matching_row(
    rules: Sequence[Rule], place: Place, scheme: Scheme, *, equivalent: bool
) -> ResourceInfo | None:
    """The row of the resource that the rules name: the requested one, or with `equivalent` another version
    of it, in which the object is then to be shown. None if no rule matches."""
    row = scheme.by_path(place.group, place.version, place.plural)
    if any(rule.matches(place) for rule in rules):
        return row
    if not equivalent or row is None or not row.storage_prefix:
        return None
    others = list(_equivalents(row, scheme))
    # Earlier rules are honoured first.
    for rule in rules:
        for other in others:
            shifted = place._replace(group=other.group, version=other.version, plural=other.plural)
            if rule.matches(shifted):
                return other
    return None


def _equivalents(row: ResourceInfo, scheme: Scheme) -> Iterator[ResourceInfo]:
    """The same objects under other groups and versions."""
    for other in scheme.rows.values():
        if other is not row and other.storage_prefix == row.storage_prefix:
            yield other


def _named(items: Sequence[str], wanted: str) -> bool:
    return wanted in items or "*" in items


@dataclass(frozen=True, slots=True)
class Selectors:
    """`namespaceSelector` and `objectSelector`, compiled."""

    namespace: Selector
    object: Selector

    async def match(self, attributes: Attributes, read: ReadNamespace) -> bool:
        """Raises NotFound where the request is about a namespace that is not there."""
        if not self.object.empty and not self._match_object(attributes):
            return False
        return self.namespace.empty or await self._match_namespace(attributes, read)

    def _match_object(self, attributes: Attributes) -> bool:
        """The new state or the old one: nobody leaves a webhook's view by dropping a label unseen."""
        shown = (attributes.object, attributes.old)
        return any(obj is not None and self.object.matches(labels_of(obj)) for obj in shown)

    async def _match_namespace(self, attributes: Attributes, read: ReadNamespace) -> bool:
        if is_namespace(attributes):
            obj = attributes.object if not attributes.subresource and attributes.object else attributes.old
            return self.namespace.matches(labels_of(obj or {}))
        if not attributes.namespace:
            # What lives in no namespace is never spared.
            return True
        namespace = await read(attributes.namespace)
        if namespace is None:
            raise not_found("namespaces", "", attributes.namespace)
        return self.namespace.matches(labels_of(namespace))


def selectors_of(obj: Object) -> Selectors:
    """The selectors of a webhook or a policy. Raises SelectorError."""
    return Selectors(
        from_label_selector(obj.get("namespaceSelector") or {}),
        from_label_selector(obj.get("objectSelector") or {}),
    )


def is_namespace(attributes: Attributes) -> bool:
    return attributes.info.plural == "namespaces" and not attributes.info.group


def labels_of(obj: Object) -> dict[str, str]:
    metadata = obj.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}

"""Roles, bindings and what they may hold. Escalation is the authoriser's business, not judged here."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .labels import validate_selector
from .strategy import Strategy

GROUP = "rbac.authorization.k8s.io"


class RoleStrategy(Strategy):
    name_rule = staticmethod(names.path_segment)
    immutable_spec_generation = True
    allow_create_on_update = True
    namespaced = True

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        for index, rule in enumerate(obj.get("rules") or ()):
            yield from _validate_rule(rule, self.namespaced, path.rules[index])


class ClusterRoleStrategy(RoleStrategy):
    namespaced = False

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from super().validate(obj, path)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return
        selectors = aggregation.get("clusterRoleSelectors") or []
        if not selectors:
            yield path.aggregationRule.clusterRoleSelectors.required(
                "at least one clusterRoleSelector required if aggregationRule is non-nil"
            )
        for index, selector in enumerate(selectors):
            here = path.aggregationRule.clusterRoleSelectors[index]
            faults = list(validate_selector(selector, here))
            yield from faults
            if faults:
                # Upstream shows what became of the selector: nothing.
                yield here.invalid("null", "invalid label selector")


class BindingStrategy(Strategy):
    """RoleBindings and ClusterRoleBindings."""

    name_rule = staticmethod(names.path_segment)
    immutable_spec_generation = True
    allow_create_on_update = True

    def __init__(self, *, namespaced: bool) -> None:
        self._roles = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)

    def default(self, obj: Object) -> None:
        reference = obj.setdefault("roleRef", {})
        reference["apiGroup"] = reference.get("apiGroup") or GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        reference, here = obj["roleRef"], path.roleRef
        if reference.get("apiGroup") != GROUP:
            yield here.apiGroup.not_supported(reference.get("apiGroup", ""), (GROUP,))
        if reference.get("kind") not in self._roles:
            yield here.kind.not_supported(reference.get("kind", ""), self._roles)
        if not reference.get("name"):
            yield here.name.required()
        for text in names.path_segment(reference.get("name", "")):
            yield here.name.invalid(reference["name"], text)
        for index, subject in enumerate(obj.get("subjects") or ()):
            yield from _validate_subject(subject, len(self._roles) > 1, path.subjects[index])

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        if new.get("roleRef") != old.get("roleRef"):
            yield path.roleRef.invalid(_shown(new.get("roleRef") or {}), "cannot change roleRef")


def _shown(reference: Object) -> Object:
    """As upstream prints it: in Go's names."""
    names_of = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name"}
    return {shown: reference.get(name, "") for shown, name in names_of.items()}


def _validate_rule(rule: Object, namespaced: bool, path: Path) -> Iterator[FieldError]:
    if not rule.get("verbs"):
        yield path.verbs.required("verbs must contain at least one value")
    urls = rule.get("nonResourceURLs") or []
    if urls:
        if namespaced:
            yield path.nonResourceURLs.invalid(urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            yield path.nonResourceURLs.invalid(
                urls, "rules cannot apply to both regular resources and non-resource URLs"
            )
        return
    if not rule.get("apiGroups"):
        yield path.apiGroups.required("resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield path.resources.required("resource rules must supply at least one resource")


def _validate_subject(subject: Object, namespaced: bool, path: Path) -> Iterator[FieldError]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield path.name.required()
    if kind == "ServiceAccount":
        for text in names.dns_subdomain(name) if name else ():
            yield path.name.invalid(name, text)
        if group:
            yield path.apiGroup.not_supported(group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield path.namespace.required()
    elif kind in ("User", "Group"):
        if not name:
            yield path.name.invalid(name, f"{kind.lower()} name cannot be empty")
        if group != GROUP:
            yield path.apiGroup.not_supported(group, (GROUP,))
    else:
        yield path.kind.not_supported(kind, ("ServiceAccount", "User", "Group"))

"""Reviews of permission: may this user do that, and what may I do at all?

Source: registry `authorization/{subjectaccessreview,…,rest}`, `pkg/apis/authorization/validation`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from kplane.api import names
from kplane.api.errors import BadRequest, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.selectors import SelectorError

from ..auth.authorizer import (
    Attributes,
    Authorizer,
    Decision,
    Term,
    aggregate,
    field_terms,
    label_terms,
)
from ..auth.user import User
from .call import Call

Answer: TypeAlias = Callable[[Object, Call], Awaitable[Object]]
"""From the review to its status."""

GROUP = "authorization.k8s.io"
_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class AccessReviews:
    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def answers(self) -> Mapping[str, Answer]:
        """By plural name."""
        return {
            "subjectaccessreviews": self._for_subject,
            "localsubjectaccessreviews": self._for_subject_here,
            "selfsubjectaccessreviews": self._for_self,
            "selfsubjectrulesreviews": self._rules,
        }

    async def _for_subject(self, review: Object, call: Call) -> Object:
        spec = review.get("spec") or {}
        _refuse("SubjectAccessReview", [*_subject_faults(spec), *_spec_faults(spec), *_meta_faults(review)])
        return await self._decide(_subject(spec), spec)

    async def _for_subject_here(self, review: Object, call: Call) -> Object:
        spec, path, namespace = review.get("spec") or {}, Path("spec"), call.info.namespace
        given = (review.get("metadata") or {}).get("namespace") or namespace
        if given != namespace:
            raise BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        faults = [*_subject_faults(spec), *_spec_faults(spec), *_meta_faults(review)]
        what = spec.get("resourceAttributes")
        if what is not None and what.get("namespace", "") != namespace:
            text = "must match metadata.namespace"
            faults.append(path.resourceAttributes.namespace.invalid(what.get("namespace", ""), text))
        if spec.get("nonResourceAttributes") is not None:
            text = "disallowed on this kind of request"
            faults.append(path.nonResourceAttributes.invalid(spec["nonResourceAttributes"], text))
        _refuse("LocalSubjectAccessReview", faults)
        return await self._decide(_subject(spec), spec)

    async def _for_self(self, review: Object, call: Call) -> Object:
        spec = review.get("spec") or {}
        _refuse("SelfSubjectAccessReview", [*_spec_faults(spec), *_meta_faults(review)])
        return await self._decide(call.user, spec)

    async def _decide(self, user: User, spec: Object) -> Object:
        selecting = _selecting(spec.get("resourceAttributes") or {})
        verdict = await self._authorizer.authorize(_attributes(user, spec, selecting))
        status: Object = {"allowed": verdict.allowed}
        if verdict.decision is Decision.DENY:
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        if errors := [text for text in (verdict.error, *selecting.faults) if text]:
            status["evaluationError"] = "; ".join(errors)
        return status

    async def _rules(self, review: Object, call: Call) -> Object:
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        found = await self._authorizer.rules(call.user, namespace)
        status: Object = {
            "resourceRules": found.resources,
            "nonResourceRules": found.paths,
            "incomplete": found.incomplete,
        }
        return status | ({"evaluationError": aggregate(found.errors)} if found.errors else {})


def _subject(spec: Object) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


@dataclass(frozen=True)
class _Selecting:
    """What a question's selectors say; `faults` are told of those that cannot be understood."""

    fields: Sequence[Term]
    labels: Sequence[Term]
    faults: Sequence[str]


def _selecting(what: Object) -> _Selecting:
    """What is not understood narrows nothing down."""
    faults: list[str] = []
    found: dict[str, tuple[Term, ...]] = {}
    for name, parse, good in (
        ("fieldSelector", field_terms, _is_field_term),
        ("labelSelector", label_terms, _is_label_term),
    ):
        selector = what.get(name) or {}
        listed = selector.get("requirements") or ()
        terms = [_term(each) for each in listed if good(each)]
        broken = len(terms) < len(listed)
        if raw := selector.get("rawSelector"):
            try:
                terms = list(parse(raw))
            except SelectorError:
                broken = True
        found[name] = tuple(terms)
        if broken:
            part = "partially " if terms else ""
            faults.append(f"spec.resourceAttributes.{name} {part}ignored due to parse error")
    return _Selecting(found["fieldSelector"], found["labelSelector"], faults)


def _term(each: Object) -> Term:
    return Term(each.get("key", ""), each["operator"], tuple(each.get("values") or ()))


def _is_field_term(each: Object) -> bool:
    return each.get("operator") in ("In", "NotIn") and len(each.get("values") or ()) == 1


def _is_label_term(each: Object) -> bool:
    values = each.get("values") or ()
    fits = bool(values) is (each.get("operator") in ("In", "NotIn"))
    faults = [
        *names.qualified_name(each.get("key", "")),
        *chain.from_iterable(map(names.label_value, values)),
    ]
    return each.get("operator") in _LABEL_OPERATORS and fits and not faults


def _attributes(user: User, spec: Object, selecting: _Selecting) -> Attributes:
    if path := spec.get("nonResourceAttributes"):
        return Attributes(user, path.get("verb", ""), False, path=path.get("path", ""))
    what = spec["resourceAttributes"]
    return Attributes(
        user,
        what.get("verb", ""),
        True,
        what.get("group", ""),
        what.get("version", "") or "*",
        what.get("resource", ""),
        what.get("subresource", ""),
        what.get("namespace", ""),
        what.get("name", ""),
        fields=tuple(selecting.fields),
        labels=tuple(selecting.labels),
    )


def _refuse(kind: str, faults: Iterable[FieldError]) -> None:
    found = list(faults)
    if found:
        raise invalid(kind, GROUP, "", found)


def _subject_faults(spec: Object) -> Iterator[FieldError]:
    if not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        yield Path("spec").user.invalid(spec.get("user", ""), text)


def _spec_faults(spec: Object) -> Iterator[FieldError]:
    path = Path("spec")
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        yield path.nonResourceAttributes.invalid(other, text)
    if resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield path.resourceAttributes.invalid(None, text)
    for name in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(name)
        if selector is not None:
            yield from _selector_faults(selector, path.resourceAttributes.child(name))


def _selector_faults(selector: Object, path: Path) -> Iterator[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        yield path.rawSelector.invalid(raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        yield path.child("requirements").required(
            f"when {path} is specified, requirements or rawSelector is required"
        )
    for index, each in enumerate(requirements or ()):
        here = path.child("requirements")[index]
        if not each.get("key"):
            yield here.key.required("must be specified")
        operator, values = each.get("operator", ""), each.get("values") or ()
        if operator in ("In", "NotIn") and not values:
            yield here.child("values").required("must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield here.child("values").forbidden(
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )


def _meta_faults(review: Object) -> Iterator[FieldError]:
    """Nothing is stored, so nothing can have a name."""
    allowed = {"creationTimestamp", "managedFields", "namespace"}
    meta = review.get("metadata") or {}
    if any(value for name, value in meta.items() if name not in allowed):
        yield Path("metadata").invalid(meta, "must be empty")

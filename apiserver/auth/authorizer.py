"""Authorisation: may this user do this?

An Authorizer answers Allow, Deny or "no opinion" from the attributes of a request alone; `Union` asks
several in their order, and the first that has an opinion decides. Who is refused is told why by all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec

from kplane.api.errors import Forbidden, forbidden
from kplane.api.names import path_segment
from kplane.api.selectors import SelectorError, parse_fields, parse_labels

from ..http.requestinfo import RequestInfo
from .user import AUTHENTICATED_GROUP, MASTERS_GROUP, User

_PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_PUBLIC_UNDER = ("/healthz/", "/livez/", "/readyz/")
_SELECTING = frozenset({"list", "watch", "deletecollection"})


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


class Verdict(msgspec.Struct, frozen=True):
    """A decision; `reason` is shown to whoever is refused, `error` says what could not be asked."""

    decision: Decision
    reason: str = ""
    error: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOW


ALLOW = Verdict(Decision.ALLOW)
NO_OPINION = Verdict(Decision.NO_OPINION)


class Term(msgspec.Struct, frozen=True):
    """One requirement of a selector, as SubjectAccessReviews spell it: In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def requires(self, key: str, value: str) -> bool:
        """Whether nothing but this value of the key is selected."""
        return self.key == key and self.operator == "In" and self.values == (value,)


class Attributes(msgspec.Struct, frozen=True):
    """What is to be decided. Without `is_resource` it is about `path`, else about everything but it."""

    user: User
    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: tuple[Term, ...] = ()
    labels: tuple[Term, ...] = ()

    @property
    def combined(self) -> str:
        """`pods` or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def attributes_of(user: User, info: RequestInfo) -> Attributes:
    """Those of a request."""
    if not info.resource:
        return Attributes(user, info.verb, False, path=info.path)
    name = info.name
    fields: tuple[Term, ...] = ()
    labels: tuple[Term, ...] = ()
    if info.verb in _SELECTING and info.query:
        fields, labels = _field_terms(info), _label_terms(info)
        name = name or _selected_name(fields)
    return Attributes(
        user,
        info.verb,
        True,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        name,
        info.path,
        fields,
        labels,
    )


def _field_terms(info: RequestInfo) -> tuple[Term, ...]:
    text = info.query.get("fieldSelector", "")
    if not text:
        return ()
    try:
        return field_terms(text)
    except SelectorError:
        return ()  # The request fails for it once it is allowed.


def field_terms(text: str) -> tuple[Term, ...]:
    """Those of a field selector. Raises SelectorError."""
    found = parse_fields(text).requirements
    return tuple(Term(term.field, "In" if term.equal else "NotIn", (term.value,)) for term in found)


def _label_terms(info: RequestInfo) -> tuple[Term, ...]:
    text = info.query.get("labelSelector", "")
    if not text:
        return ()
    try:
        return label_terms(text)
    except SelectorError:
        return ()


def label_terms(text: str) -> tuple[Term, ...]:
    """Those of a label selector. Raises SelectorError."""
    found = parse_labels(text).requirements
    return tuple(
        Term(term.key, _OPERATORS[term.operator], tuple(sorted(term.values)))
        for term in found
        if term.operator in _OPERATORS
    )


_OPERATORS = {
    "=": "In", "==": "In", "in": "In", "!=": "NotIn", "notin": "NotIn", "exists": "Exists",
    "!": "DoesNotExist",
}  # fmt: skip
"""Comparisons of numbers have no such form: they narrow nothing here."""


def _selected_name(fields: Sequence[Term]) -> str:
    """A list of the one object of that name is about that object."""
    for term in fields:
        if term.key == "metadata.name" and term.operator == "In" and not [*path_segment(term.values[0])]:
            return term.values[0]
    return ""


class Rules(msgspec.Struct):
    """What a user may do, as far as it can be told. `incomplete`: they may be able to do more."""

    resources: list[dict[str, Any]] = []
    paths: list[dict[str, Any]] = []
    incomplete: bool = False
    errors: list[str] = []


class Authorizer(Protocol):
    """The decision on one request."""

    async def authorize(self, attributes: Attributes) -> Verdict: ...

    async def rules(self, user: User, namespace: str) -> Rules:
        """What the user may do in a namespace."""

    async def catch_up(self) -> bool:
        """Take in every acknowledged write; whether that changed anything."""


class AlwaysAllow:
    """Everything to the authenticated, health and version to everyone."""

    async def authorize(self, attributes: Attributes) -> Verdict:
        if AUTHENTICATED_GROUP in attributes.user.groups:
            return ALLOW
        asked = not attributes.is_resource and attributes.verb in ("get", "head")
        return ALLOW if asked and is_public(attributes.path) else NO_OPINION

    async def rules(self, user: User, namespace: str) -> Rules:
        if AUTHENTICATED_GROUP not in user.groups:
            return Rules()
        return Rules(
            [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        )

    async def catch_up(self) -> bool:
        return False


class AlwaysDeny:
    """Nothing to anybody, except those who are never asked."""

    async def authorize(self, attributes: Attributes) -> Verdict:
        return Verdict(Decision.NO_OPINION, "Everything is forbidden.")

    async def rules(self, user: User, namespace: str) -> Rules:
        return Rules()

    async def catch_up(self) -> bool:
        return False


@dataclass(frozen=True)
class Union:
    """Members of `system:masters` may do everything; for everybody else the first opinion counts."""

    members: Sequence[Authorizer]

    async def authorize(self, attributes: Attributes) -> Verdict:
        if MASTERS_GROUP in attributes.user.groups:
            return ALLOW
        verdict = await _ask(self.members, attributes)
        if verdict.decision is Decision.NO_OPINION and AUTHENTICATED_GROUP in attributes.user.groups:
            # The caches may lag: what is refused may have been granted a moment ago. Strangers cannot make
            # us ask the store.
            caught_up = [await member.catch_up() for member in self.members]
            if any(caught_up):
                verdict = await _ask(self.members, attributes)
        return verdict

    async def rules(self, user: User, namespace: str) -> Rules:
        found = Rules([], [], False, [])
        for member in self.members:
            part = await member.rules(user, namespace)
            found.resources += part.resources
            found.paths += part.paths
            found.errors += part.errors
            found.incomplete |= part.incomplete
        return found

    async def catch_up(self) -> bool:
        return any([await member.catch_up() for member in self.members])


async def _ask(members: Sequence[Authorizer], attributes: Attributes) -> Verdict:
    reasons, errors = [], []
    for member in members:
        verdict = await member.authorize(attributes)
        if verdict.decision is not Decision.NO_OPINION:
            return verdict
        if verdict.reason:
            reasons.append(verdict.reason)
        if verdict.error:
            errors.append(verdict.error)
    if not reasons and not errors:
        return NO_OPINION
    return Verdict(Decision.NO_OPINION, "\n".join(reasons), aggregate(errors))


def aggregate(texts: Sequence[str]) -> str:
    """Several errors in one text, each once, as upstream joins them."""
    once = list(dict.fromkeys(texts))
    return once[0] if len(once) == 1 else f"[{', '.join(once)}]" if once else ""


def refusal(attributes: Attributes, reason: str = "") -> Forbidden:
    """The 403 of a request that was not allowed."""
    why = _sanitized(_refused(attributes)) + (f": {reason}" if reason else "")
    if not attributes.is_resource:
        return Forbidden(f"forbidden: {why}", {})
    return forbidden(attributes.resource, attributes.group, attributes.name, why)


def _refused(attributes: Attributes) -> str:
    who = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.is_resource:
        return f'{who} path "{attributes.path}"'
    namespace = attributes.namespace
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'{who} resource "{attributes.combined}" in API group "{attributes.group}" {where}'


def _sanitized(text: str) -> str:
    """Browsers may show it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def is_public(path: str) -> bool:
    """Whether upstream shows this path to unauthenticated clients."""
    return path in _PUBLIC or path.startswith(_PUBLIC_UNDER)

"""The policies of one kind that are in effect, compiled, with their bindings.

Reads: policies and bindings, from their watch caches: a change is in effect as soon as the cache has it.
A policy is compiled once for each generation, so that a new status costs nothing. What depends on a request's
place alone is found out once for each place: a request that no policy is about costs one look into a
dictionary.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme
from kplane.api.selectors import EVERYTHING, Selector, SelectorError, from_label_selector

from ...storage import codec
from ...storage.cache import WatchCache
from ..chain import Attributes
from ..matching import Place, place_of
from .matching import EVERYWHERE, MatchResources, Placed, match_resources

log = logging.getLogger(__name__)

REMEMBERED_PLACES = 4096

E = TypeVar("E")
"""What a policy is compiled to."""


class ParamKind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}, Kind={self.kind}"


@dataclass(frozen=True, slots=True)
class ParamRef:
    """Which objects are a binding's parameters: one by name, or those that a selector finds."""

    name: str
    namespace: str
    selector: Selector | None
    required: bool
    """Whether it is an error if there is none (`parameterNotFoundAction: Deny`)."""


@dataclass(frozen=True, slots=True)
class Policy(Generic[E]):
    name: str
    fails: bool
    """Whether what cannot be decided is refused (`failurePolicy: Fail`)."""
    constraints: MatchResources
    param_kind: ParamKind | None
    program: E


@dataclass(frozen=True, slots=True)
class Binding:
    name: str
    policy: str
    resources: MatchResources
    param_ref: ParamRef | None
    actions: Sequence[str]
    """`validationActions`."""


class Candidate(NamedTuple, Generic[E]):
    """A policy whose rules match the place, with those of its bindings that do."""

    policy: Policy[E]
    placed: Placed
    bindings: Sequence[tuple[Binding, Placed]]
    params: ResourceInfo | None
    """The resource of its paramKind; None if it has none or it is unknown."""


class Source(Generic[E]):
    """Policies in order of their names; `compile` makes of a policy's object what evaluates it."""

    def __init__(
        self, policies: WatchCache, bindings: WatchCache, scheme: Scheme, compile: Callable[[Object], E]
    ) -> None:
        self._policies = policies
        self._bindings = bindings
        self._scheme = scheme
        self._compile = compile
        self._seen = (-1, -1, -1)
        self._made: dict[str, tuple[str, int, Policy[E]]] = {}
        """By key, with uid and generation."""
        self._bound: Sequence[tuple[Policy[E], Sequence[Binding]]] = ()
        self._places: dict[Place, Sequence[Candidate[E]]] = {}

    @property
    def idle(self) -> bool:
        """Whether it is known that no policy is in effect."""
        counts = (self._policies.changes, self._bindings.changes, self._scheme.generation)
        return not self._bound and self._seen == counts

    async def candidates(self, attributes: Attributes) -> Sequence[Candidate[E]]:
        """Those whose rules match. Raises TooManyRequests while the caches are not filled yet."""
        if self._seen != (self._policies.changes, self._bindings.changes, self._scheme.generation):
            await self._refresh()
        if not self._bound:
            return ()
        place = place_of(attributes)
        found = self._places.get(place)
        if found is None:
            if len(self._places) >= REMEMBERED_PLACES:
                self._places.clear()
            found = self._places[place] = list(filter(None, (self._at(place, *pair) for pair in self._bound)))
        return found

    def _at(self, place: Place, policy: Policy[E], bindings: Sequence[Binding]) -> Candidate[E] | None:
        placed = policy.constraints.at(place, self._scheme)
        if placed is None:
            return None
        found = [(one, there) for one in bindings if (there := one.resources.at(place, self._scheme))]
        kind = policy.param_kind
        return Candidate(policy, placed, found, self._scheme.by_kind(*kind) if kind else None)

    async def _refresh(self) -> None:
        policies = await self._policies.list(at_least=0)
        # No await between a list and its count: they belong together.
        first = self._policies.changes
        bindings = await self._bindings.list(at_least=0)
        seen = first, self._bindings.changes, self._scheme.generation
        by_policy: dict[str, list[Binding]] = defaultdict(list)
        for item in bindings.items:
            binding = _binding(codec.decode(item.wire))
            by_policy[binding.policy].append(binding)
        made = {item.key: self._policy(item.key, item.wire) for item in policies.items}
        self._made = made
        found = [policy for _, _, policy in made.values()]
        self._bound = [(policy, by_policy[policy.name]) for policy in found if policy.name in by_policy]
        self._places.clear()
        self._seen = seen

    def _policy(self, key: str, wire: bytes) -> tuple[str, int, Policy[E]]:
        obj = codec.decode(wire)
        uid, generation = obj["metadata"]["uid"], obj["metadata"].get("generation", 0)
        known = self._made.get(key)
        if known is not None and known[:2] == (uid, generation):
            return known
        spec = obj["spec"]
        policy = Policy(
            name=obj["metadata"]["name"],
            fails=spec.get("failurePolicy") != "Ignore",
            constraints=_resources(obj, spec.get("matchConstraints")),
            param_kind=param_kind(spec.get("paramKind")),
            program=self._compile(obj),
        )
        return uid, generation, policy


def param_kind(obj: Object | None) -> ParamKind | None:
    if obj is None:
        return None
    group, _, version = obj.get("apiVersion", "").rpartition("/")
    return ParamKind(group, version, obj.get("kind", ""))


def _binding(obj: Object) -> Binding:
    spec = obj["spec"]
    return Binding(
        name=obj["metadata"]["name"],
        policy=spec.get("policyName", ""),
        resources=_resources(obj, spec.get("matchResources")),
        param_ref=_param_ref(obj, spec.get("paramRef")),
        actions=tuple(spec.get("validationActions") or ()),
    )


def _param_ref(owner: Object, obj: Object | None) -> ParamRef | None:
    if obj is None:
        return None
    return ParamRef(
        obj.get("name", ""),
        obj.get("namespace", ""),
        _selector(owner, obj["selector"]) if obj.get("selector") is not None else None,
        obj.get("parameterNotFoundAction") == "Deny",
    )


def _resources(owner: Object, obj: Object | None) -> MatchResources:
    if obj is None:
        return EVERYWHERE
    try:
        return match_resources(obj)
    except SelectorError as error:
        _complain(owner, error)
        return match_resources({**obj, "namespaceSelector": {}, "objectSelector": {}})


def _selector(owner: Object, obj: Object) -> Selector:
    try:
        return from_label_selector(obj)
    except SelectorError as error:
        _complain(owner, error)
        return EVERYTHING


def _complain(owner: Object, error: SelectorError) -> None:
    """It was stored before it was forbidden. It is about more than it wanted, never less."""
    log.warning("bad selector kind=%s name=%s error=%s", owner["kind"], owner["metadata"]["name"], error)

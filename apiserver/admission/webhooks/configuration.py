"""The configured webhooks, compiled, and those that a request concerns.

Reads: one kind of webhook configuration, from its watch cache: a change is in effect as soon as the cache
has it. Whatever depends on a request's place alone is decided once for each place and remembered, so that a
request which concerns no webhook costs one look into a dictionary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme
from kplane.api.selectors import EVERYTHING, SelectorError

from ...storage import codec
from ...storage.cache import WatchCache
from ..chain import Attributes
from ..matching import Place, Rule, Selectors, matching_row, place_of, rule_of, selectors_of
from .review import Shown

log = logging.getLogger(__name__)

REMEMBERED_PLACES = 4096


class Conditions(Protocol):
    """The compiled `matchConditions` of a webhook."""

    async def match(self, attributes: Attributes, shown: Shown) -> bool:
        """Whether the webhook is to be called; it would be shown that. Raises ApiError where a condition
        cannot be evaluated and the webhook's failures are fatal."""


class CompileConditions(Protocol):
    def __call__(self, webhook: Object, type: str) -> Conditions | None:
        """None for a webhook without conditions. `type` is the metrics' label."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One entry of a configuration."""

    uid: str
    """Unique among the webhooks of one kind, and kept as long as configuration and name are."""
    configuration: str
    name: str
    client: Object
    """Its clientConfig."""
    rules: Sequence[Rule]
    equivalent: bool
    selectors: Selectors
    ignores_failures: bool
    timeout: float
    review_versions: Sequence[str]
    dry_runs: bool
    """Whether it may be asked about dry runs: it declares to have no side effects then."""
    reinvocable: bool
    conditions: Conditions | None = field(compare=False)


class Candidate(NamedTuple):
    """A webhook whose rules match; `row` is the resource at the version that it wants to see."""

    webhook: Webhook
    row: ResourceInfo
    position: int
    """Among all webhooks."""


class Configuration:
    """The webhooks of one kind of configuration, in order: by configuration's name, then as listed there."""

    def __init__(self, cache: WatchCache, scheme: Scheme, type: str, compile: CompileConditions) -> None:
        self._cache = cache
        self._scheme = scheme
        self._type = type
        self._compile = compile
        self._seen: tuple[int, int] = (-1, -1)
        self._made: dict[str, tuple[int, Sequence[Webhook]]] = {}
        """By key of the configuration, with its revision."""
        self._webhooks: Sequence[Webhook] = ()
        self._places: dict[Place, Sequence[Candidate]] = {}

    @property
    def idle(self) -> bool:
        """Whether it is known that there is no webhook."""
        return not self._webhooks and self._seen == (self._cache.changes, self._scheme.generation)

    async def candidates(self, attributes: Attributes) -> Sequence[Candidate]:
        """Those whose rules match. Raises TooManyRequests while the cache is not filled yet."""
        if self._seen != (self._cache.changes, self._scheme.generation):
            await self._refresh()
        if not self._webhooks:
            return ()
        place = place_of(attributes)
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = self._match(place)
        return found

    def _match(self, place: Place) -> Sequence[Candidate]:
        if len(self._places) >= REMEMBERED_PLACES:
            self._places.clear()
        found = []
        for index, webhook in enumerate(self._webhooks):
            row = matching_row(webhook.rules, place, self._scheme, equivalent=webhook.equivalent)
            if row is not None:
                found.append(Candidate(webhook, row, index))
        return found

    async def _refresh(self) -> None:
        """Compile what has changed; everything else is kept."""
        listed = await self._cache.list(at_least=0)
        # No await from here on: the list and the count belong together.
        made = {}
        for item in listed.items:
            known = self._made.get(item.key)
            if known is None or known[0] != item.revision:
                known = item.revision, self._compiled(codec.decode(item.wire))
            made[item.key] = known
        self._made = made
        self._webhooks = [webhook for _, webhooks in made.values() for webhook in webhooks]
        self._places.clear()
        self._seen = self._cache.changes, self._scheme.generation

    def _compiled(self, configuration: Object) -> Sequence[Webhook]:
        name, taken = configuration["metadata"]["name"], dict[str, int]()
        return [
            self._webhook(name, obj, _unique(f"{name}/{obj.get('name', '')}", taken))
            for obj in configuration.get("webhooks") or ()
        ]

    def _webhook(self, configuration: str, obj: Object, uid: str) -> Webhook:
        return Webhook(
            uid=uid,
            configuration=configuration,
            name=obj.get("name", ""),
            client=obj.get("clientConfig") or {},
            rules=[rule_of(rule) for rule in obj.get("rules") or ()],
            equivalent=obj.get("matchPolicy", "Equivalent") == "Equivalent",
            selectors=_selectors(configuration, obj),
            ignores_failures=obj.get("failurePolicy") == "Ignore",
            timeout=obj.get("timeoutSeconds") or 10,
            review_versions=tuple(obj.get("admissionReviewVersions") or ()),
            dry_runs=obj.get("sideEffects") in ("None", "NoneOnDryRun"),
            reinvocable=obj.get("reinvocationPolicy") == "IfNeeded",
            conditions=self._compile(obj, self._type),
        )


def _selectors(configuration: str, webhook: Object) -> Selectors:
    try:
        return selectors_of(webhook)
    except SelectorError as error:
        # It was stored before it was forbidden. The webhook is asked about more than it wanted, never less.
        log.warning(
            "bad selector configuration=%s webhook=%s error=%s", configuration, webhook.get("name"), error
        )
        return Selectors(EVERYTHING, EVERYTHING)


def _unique(uid: str, taken: dict[str, int]) -> str:
    """Names may repeat in configurations that are older than the rule against it."""
    count = taken[uid] = taken.get(uid, -1) + 1
    return f"{uid}/{count}"

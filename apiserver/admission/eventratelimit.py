"""EventRateLimit: no client floods the store with Events.

Limits come from the plug-in's configuration (`eventratelimit.admission.k8s.io/v1alpha1`); each is a token
bucket for the whole server, or one for every namespace, user, or source and object; the latest are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

from kplane.api.errors import TooManyRequests
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.client.backoff import TokenBucket
from kplane.runtime.process import Fatal

from .chain import Attributes, Operation, on
from .context import AdmissionContext, aggregate

KEPT = 4096
"""Buckets of one limit where its configuration says nothing."""

_OBJECT = ("kind", "namespace", "name", "uid", "apiVersion")


def _source_and_object(attributes: Attributes) -> str:
    event = attributes.object or {}
    source, about = event.get("source") or {}, event.get("involvedObject") or {}
    return "".join(
        [source.get("component", ""), source.get("host", ""), *(about.get(field, "") for field in _OBJECT)]
    )


KEYS: Mapping[str, Callable[[Attributes], str]] = {
    "Server": lambda attributes: "",
    "Namespace": lambda attributes: attributes.namespace,
    "User": lambda attributes: attributes.user.name,
    "SourceAndObject": _source_and_object,
}


class EventRateLimit:
    name = "EventRateLimit"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("events",))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises Fatal for a configuration that cannot be used, or none."""
        limits: Sequence[Object] = (context.configuration(self.name) or {}).get("limits") or []
        if faults := [str(fault) for fault in _faults(limits)]:
            raise Fatal(f'couldn\'t init admission plugin "{self.name}": {aggregate(faults)}')
        self._limits = [Limit(limit) for limit in limits]
        self._clock = context.clock

    async def validate(self, attributes: Attributes) -> None:
        """Every limit counts every event, even one that another limit refuses."""
        if attributes.dry_run:
            return
        now = self._clock.monotonic()
        if reached := [why for limit in self._limits if (why := limit.reached(attributes, now))]:
            raise TooManyRequests(f"Too many requests: {reached[-1]}")


class Limit:
    """One limit and its buckets, those used last at the end."""

    def __init__(self, configured: Object) -> None:
        self._type: str = configured["type"]
        self._rate, self._burst = configured["qps"], configured["burst"]
        self._kept = configured.get("cacheSize") or KEPT
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def reached(self, attributes: Attributes, now: float) -> str:
        """Count the event; why it is one too many, else nothing."""
        key = KEYS[self._type](attributes)
        bucket = self._buckets.setdefault(key, TokenBucket(self._rate, self._burst, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
        return "" if bucket.take(now) else f"limit reached on type {self._type} for key {key}"


def _faults(limits: Sequence[Object]) -> Iterator[FieldError]:
    path = Path().limits
    if not limits:
        yield path.invalid([], "must not be empty")
    for index, limit in enumerate(limits):
        if limit.get("type") not in KEYS:
            yield path[index].type.not_supported(limit.get("type", ""), list(KEYS))
        for field in ("burst", "qps"):
            if not isinstance(limit.get(field), int) or limit[field] <= 0:
                yield path[index].child(field).invalid(limit.get(field, 0), "must be positive")
        if limit.get("type") != "Server" and limit.get("cacheSize", 0) < 0:
            yield path[index].cacheSize.invalid(limit["cacheSize"], "must not be negative")

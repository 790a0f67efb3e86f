"""Flow control as one server has it: classifies requests, and divides the seats among the priority levels.

Plain and synchronous: `gate.py` puts requests to it, `following.py` gives it the API objects.
Source: apiserver `flowcontrol/apf_controller.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kplane.api.resource import Object

from ..auth.user import User
from ..http.requestinfo import RequestInfo
from ..registry.flowobjects import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from .counts import Counts
from .flows import Flow, Level, Limits, limits_of
from .matching import Schema, schema_of
from .queues import Later, QueueSet
from .retries import RetryAfter
from .shards import deal, flow_hash
from .sharing import Shared, Want, share

KNOWN = 8192
"""Verdicts that are remembered; one for each user, verb, resource and namespace."""
EXEMPT, CATCH_ALL = "exempt", "catch-all"


class FlowControl:
    """`seats`: the server's, `--max-requests-inflight` and `--max-mutating-requests-inflight` together."""

    def __init__(self, seats: int, clock: Callable[[], float], later: Later) -> None:
        self._seats = seats
        self._clock = clock
        self._later = later
        self.levels: dict[str, Level] = {}
        self.counts: dict[tuple[str, str], Counts] = {}
        """By level and schema, for as long as the server runs."""
        self.fraction = 0.0
        self._schemas: list[Schema] = []
        self._flows: dict[tuple[Schema, str], Flow] = {}
        self._verdicts: dict[tuple[object, ...], Flow] = {}
        self.configure((), ())

    def configure(self, levels: Iterable[Object], schemas: Iterable[Object]) -> None:
        """Go on with these objects. The mandatory ones are there even if they are not."""
        known = {found.name: found for obj in levels if (found := limits_of(obj))}
        wanted = _imagined() | known
        for name, limits in wanted.items():
            self._take(name, limits)
        self._keep_busy(wanted)
        shares = sum(level.limits.shares for level in self.levels.values())
        for level in self.levels.values():
            level.divide(self._seats, shares)
        self._schemas = _in_order((schema for obj in schemas if (schema := schema_of(obj))), wanted)
        self._catch_all = next(schema for schema in self._schemas if schema.name == CATCH_ALL)
        self._flows.clear()
        self._verdicts.clear()
        self.adjust()

    def classify(self, user: User, info: RequestInfo) -> Flow:
        shape: tuple[object, ...]
        if info.resource:
            what = (info.verb, info.group, info.resource, info.subresource, info.namespace)
            shape = (user.name, user.groups, *what)
        else:
            shape = (user.name, user.groups, info.verb, info.path)
        flow = self._verdicts.get(shape)
        return flow if flow is not None else self._decide(shape, user, info)

    def adjust(self) -> None:
        """Give each level seats by what it needed lately: idle ones lend, busy ones borrow."""
        now = self._clock()
        levels = list(self.levels.values())
        wants = [level.want(now) for level in levels]
        found = self._shared(levels, wants)
        self.fraction = found.fraction
        for level, seats in zip(levels, found.seats, strict=True):
            level.settle(seats)
        self._reap()

    def _shared(self, levels: list[Level], wants: list[Want]) -> Shared:
        """What the exempt level needs it has; the others share the rest, and if that is less than what they
        keep by configuration, in proportion to that."""
        exempt = [
            want.lower if level.limits.exempt else 0.0 for level, want in zip(levels, wants, strict=True)
        ]
        rest = sum(level.nominal for level in levels) - sum(exempt)
        limited = [index for index, level in enumerate(levels) if not level.limits.exempt]
        kept = sum(levels[index].lower for index in limited)
        if rest <= kept:
            fraction = max(rest, 0.0) / kept if kept else 0.0
            shares = Shared([fraction * levels[index].lower for index in limited], fraction)
        else:
            shares = share(rest, [wants[index] for index in limited])
        seats = list(exempt)
        for index, given in zip(limited, shares.seats, strict=True):
            seats[index] = given
        return Shared(seats, shares.fraction)

    def _take(self, name: str, limits: Limits) -> None:
        level = self.levels.get(name)
        if level is None:
            queues = QueueSet(self._clock, self._later, exempt=limits.exempt)
            level = self.levels[name] = Level(limits, queues, RetryAfter())
        level.limits, level.quiescing = limits, False
        level.queues.configure(limits.queues, limits.length)

    def _keep_busy(self, wanted: Mapping[str, Limits]) -> None:
        """A level whose object is gone stays until its last request has ended."""
        for name, level in list(self.levels.items()):
            if name not in wanted:
                level.quiescing = True
        self._reap()

    def _reap(self) -> None:
        for name, level in list(self.levels.items()):
            if level.quiescing and level.queues.idle:
                del self.levels[name]

    def _decide(self, shape: tuple[object, ...], user: User, info: RequestInfo) -> Flow:
        matching = (schema for schema in self._schemas if schema.matches(user, info))
        schema = next(matching, None) or self._catch_all
        level = self.levels[schema.level]
        # Where there are no queues, nothing would come of telling flows apart.
        told = schema.distinguish(user, info) if level.limits.queues > 1 else ""
        flow = self._flows.get((schema, told)) or self._make(schema, level, told)
        if len(self._verdicts) >= KNOWN:
            self._verdicts.clear()
            self._flows.clear()
        self._flows[schema, told] = self._verdicts[shape] = flow
        return flow

    def _make(self, schema: Schema, level: Level, told: str) -> Flow:
        limits = level.limits
        hand: tuple[int, ...] = ()
        if limits.queues:
            hand = deal(flow_hash(schema.name, told), limits.queues, limits.hand)
        counts = self.counts.setdefault((limits.name, schema.name), Counts())
        headers = (
            (b"x-kubernetes-pf-flowschema-uid", schema.uid.encode()),
            (b"x-kubernetes-pf-prioritylevel-uid", limits.uid.encode()),
        )
        return Flow(schema, level, told, hand, counts, headers)


def _imagined() -> dict[str, Limits]:
    found = (limits_of(obj) for obj in MANDATORY_LEVELS)
    return {limits.name: limits for limits in found if limits}


def _in_order(schemas: Iterable[Schema], levels: Mapping[str, Limits]) -> list[Schema]:
    """In the order in which they are asked; those of levels that are not there are left out."""
    good = [schema for schema in schemas if schema.level in levels]
    good.sort(key=lambda schema: (schema.precedence, schema.name))
    names = {schema.name for schema in good}
    imagined = {schema.name: schema for obj in MANDATORY_SCHEMAS if (schema := schema_of(obj))}
    first = [imagined[EXEMPT]] if EXEMPT not in names else []
    return [*first, *good, *([imagined[CATCH_ALL]] if CATCH_ALL not in names else [])]

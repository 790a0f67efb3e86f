"""How long the layers of the server were busy with one request: annotations of the event at its end, where it
took long.

The layers are deep in the server and know no request, so what is counted hangs on the context of its task,
and on that of every task which it starts. Where nothing is recorded, nothing is counted.

Source: apiserver `pkg/endpoints/request/webhook_duration.go`, `pkg/endpoints/filters/audit.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple

THRESHOLD = 0.5
"""Seconds: a request that takes no longer is annotated with none of it."""
_PREFIX = "apiserver.latency.k8s.io/"


class Layer(NamedTuple):
    """`parallel`: what is done at once counts as long as its longest part, else as long as all parts."""

    name: str
    parallel: bool = False


AUTHENTICATION = Layer("authentication")
AUTHORIZATION = Layer("authorization")
QUEUE = Layer("apf-queue-wait", parallel=True)
STORE = Layer("etcd")
MUTATING_WEBHOOK = Layer("mutating-webhook")
VALIDATING_WEBHOOK = Layer("validating-webhook", parallel=True)
DECODE = Layer("decode-response-object")
TRANSFORM = Layer("transform-response-object")
SERIALIZE = Layer("serialize-response-object")
WRITE = Layer("response-write")


class Latencies:
    """Of one request. `began`: when it came, by the clock `now`."""

    def __init__(self, now: Callable[[], float], began: float) -> None:
        self._now = now
        self._began = began
        self._spent: dict[str, float] = {}

    def add(self, layer: Layer, seconds: float) -> None:
        spent = self._spent.get(layer.name, 0.0)
        self._spent[layer.name] = max(spent, seconds) if layer.parallel else spent + seconds

    @contextmanager
    def timing(self, layer: Layer) -> Iterator[None]:
        began = self._now()
        try:
            yield
        finally:
            self.add(layer, self._now() - began)

    def annotations(self) -> Mapping[str, str]:
        """None of a request that did not take long, or in which no layer did anything."""
        total = self._now() - self._began
        if total <= THRESHOLD:
            return {}
        found = {_PREFIX + name: shown(seconds) for name, seconds in self._spent.items() if seconds}
        return found | {f"{_PREFIX}total": shown(total)} if found else {}


_current: ContextVar[Latencies | None] = ContextVar("latencies", default=None)


def current() -> Latencies | None:
    """Those of the request that is being served; None where nothing is counted."""
    return _current.get()


def count(latencies: Latencies | None) -> None:
    """Count there from now on."""
    _current.set(latencies)


def timing(layer: Layer) -> AbstractContextManager[None]:
    """Counts how long what is inside takes."""
    latencies = _current.get()
    return nullcontext() if latencies is None else latencies.timing(layer)


def shown(seconds: float) -> str:
    """As Go prints durations: `1m2.5s`, `629.994µs`, `317ns`."""
    nanos = round(seconds * 1e9)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanos < 1000 * size:
            return f"{_decimal(nanos, size)}{unit}" if nanos else "0s"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, size: int) -> str:
    """value / size, without zeros at the end."""
    whole, part = divmod(value, size)
    digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)

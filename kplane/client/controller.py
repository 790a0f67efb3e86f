"""What a controller is, and what it is given.

A controller is a class with a `name`, an `__init__(ctx)` that takes informers and registers wake-ups, and
`async reconcile(key)`. The manager (`controllers/manager.py`) builds each with a Context of its own and runs
its queue; tests do the same with `kplane.testing.FakeCluster`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Key, Resource
from kplane.client.events import EventRecorder
from kplane.client.informer import Informer, InformerFactory
from kplane.client.rest import Client
from kplane.client.workqueue import Requeue, WorkQueue

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One controller's surroundings. The queue is its own; everything else may be shared."""

    client: Client
    informers: InformerFactory
    queue: WorkQueue
    clock: Clock
    entropy: Entropy
    events: EventRecorder
    options: Any = field(default=None)
    """The manager's configuration."""
    used: list[Informer[Any]] = field(default_factory=list, repr=False)
    """The informers that were asked for."""

    def informer(self, what: type[T] | Resource[T], **selectors: str) -> Informer[T]:
        found = self.informers.informer(what, **selectors)
        self.used.append(found)
        return found

    async def wait_synced(self) -> None:
        """Until every informer that was asked for is synced. Not those of others: the server may not even
        have what they are about."""
        for informer in self.used:
            await informer.wait_synced()


class Controller(Protocol):
    """`ctx.queue` carries the keys; a controller without a queue of keys does all in `run`."""

    name: str

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""

"""Weather between the fake API server and its watchers: by dice, events come late, twice, or out of turn.

What the API promises holds in any weather: a watch that is resumed at a revision has every later event, and
the events of one object keep their order. Between objects, and between watches, there is no order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Object


@dataclass(frozen=True)
class Weather:
    """How often, from 0 to 1, and how badly events suffer."""

    dice: Entropy
    clock: Clock
    late: float = 0.3
    longest_delay: float = 4.0
    """Seconds."""
    twice: float = 0.2
    swapped: float = 0.2

    async def delay(self) -> None:
        """Wait as long as the next events take."""
        if self._happens(self.late):
            await self.clock.sleep(self.dice.uniform(0, self.longest_delay))

    def take(self, frames: deque[Object]) -> Iterator[Object]:
        """Take all events out of `frames`, as they arrive: together, as after a stall of the connection."""
        while frames:
            batch = [frames.popleft()]
            if frames and _independent(batch[0], frames[0]) and self._happens(self.swapped):
                batch.insert(0, frames.popleft())
            for event in batch:
                yield event
                if self._happens(self.twice):
                    yield event

    def _happens(self, share: float) -> bool:
        return self.dice.uniform(0, 1) < share


def _independent(one: Object, other: Object) -> bool:
    """Whether two events are about different objects, so that no watcher may count on their order."""
    return _identity(one) != _identity(other)


def _identity(event: Object) -> tuple[str | None, str]:
    metadata = event["object"]["metadata"]
    return metadata.get("namespace"), metadata["name"]

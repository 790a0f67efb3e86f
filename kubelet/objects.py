"""ConfigMaps and Secrets that this node's pods refer to: one watch per object, only while a pod needs it.

Nodes may read only the objects of their own pods, by name: hence a field selector per object instead of one
watch for all. Owns those watches; wakes the pods when an object changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import Unreachable
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, Secret
from kplane.client.informer import Informer
from kplane.client.rest import Client

T = TypeVar("T", ConfigMap, Secret)

SYNC_SECONDS = 10


@dataclass
class _Watched:
    informer: Informer[Any]
    task: asyncio.Task[None]
    pods: set[str] = field(default_factory=set)


class ObjectCache:
    """`get` starts a watch and keeps it until `release` was called for every pod that asked."""

    def __init__(self, client: Client, clock: Clock, entropy: Entropy, wake: Callable[[str], None]) -> None:
        self._client, self._clock, self._entropy, self._wake = client, clock, entropy, wake
        self._watched: dict[tuple[type[Any], Key], _Watched] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep the watches running until cancelled; `get` waits for this."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    async def get(self, what: type[T], namespace: str, name: str, pod_uid: str) -> T | None:
        """The object as it is now; None if it does not exist. Raises Unreachable."""
        key = Key(namespace, name)
        entry = self._watched.get((what, key)) or self._watch(what, key)
        entry.pods.add(pod_uid)
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await entry.informer.wait_synced()
        except TimeoutError as error:
            raise Unreachable(f"failed to sync {what.__name__} {key}: timed out waiting") from error
        found: T | None = entry.informer.get(key)
        return found

    def release(self, pod_uid: str) -> None:
        """The pod needs nothing any more."""
        for place, entry in list(self._watched.items()):
            entry.pods.discard(pod_uid)
            if not entry.pods:
                entry.task.cancel()
                del self._watched[place]

    def _watch(self, what: type[T], key: Key) -> _Watched:
        assert self._tasks is not None, "the cache must run before it is asked"
        informer = Informer(
            self._client, what, clock=self._clock, entropy=self._entropy, namespace=key.namespace,
            field_selector=f"metadata.name={key.name}",
        )  # fmt: skip
        entry = _Watched(informer, self._tasks.create_task(informer.run()))
        self._watched[what, key] = entry

        def changed(_old: T | None, _new: T | None) -> None:
            for uid in entry.pods:
                self._wake(uid)

        informer.on_change(changed)
        return entry

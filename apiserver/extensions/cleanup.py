"""What a deleted CustomResourceDefinition leaves behind: its instances go first, then the definition.

Several API servers may do this at once; each step can be repeated. Reasons and wording: apiextensions
`pkg/controller/finalizer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object

from ..bootstrap import SELF
from ..registry.deletion import DeleteOptions
from ..registry.generic import Registry
from ..storage.store import StoreError
from ..storage.watcher import Overrun
from .conditions import ESTABLISHED, FINALIZER, TERMINATING, Condition, is_true, set_condition

log = logging.getLogger(__name__)

WAIT_SECONDS = 60.0
"""How long instances may take to go, before the condition tells of it."""
RETRY_SECONDS = 1.0
_OVERLAPPING = frozenset(
    {
        ("apiregistration.k8s.io", "apiservices"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    }
)
_STARTED = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
_DONE = ("False", "InstanceDeletionCompleted", "removed all instances")
_NEVER = ("False", "NeverEstablished", "resource was never established")
_OVERLAPS = ("False", "OverlappingBuiltInResource", "instances overlap with built-in resources in storage")


def is_due(crd: Object) -> bool:
    """Whether the definition waits for its instances to go."""
    metadata = crd["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FINALIZER in (metadata.get("finalizers") or ())


class Cleanup:
    """Brings one definition after the other to its end."""

    def __init__(self, definitions: Registry, instances: Callable[[Object], Registry], clock: Clock) -> None:
        self._definitions = definitions
        self._instances = instances
        self._clock = clock

    async def run(self, crd: Object) -> None:
        """Until the definition is gone."""
        key = Key("", crd["metadata"]["name"])
        while True:
            try:
                return await self._remove(key, crd)
            except (NotFound, Conflict):
                # Gone already, or another server is at it.
                if await self._definitions.cache.get("", key.name) is None:
                    return None
            except (ApiError, StoreError, Overrun) as error:
                log.warning("cannot remove the instances crd=%s error=%s", key.name, error)
            await self._clock.sleep(RETRY_SECONDS)

    async def _remove(self, key: Key, crd: Object) -> None:
        await self._tell(key, _STARTED)
        spec = crd["spec"]
        if (spec["group"], spec["names"]["plural"]) in _OVERLAPPING:
            verdict = _OVERLAPS
        elif is_true(crd, ESTABLISHED):
            await self._remove_instances(key, self._instances(crd))
            verdict = _DONE
        else:
            verdict = _NEVER
        await self._tell(key, verdict, last=True)
        log.info("custom resource removed crd=%s", key.name)

    async def _remove_instances(self, key: Key, registry: Registry) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await remove_all(registry)
        except TimeoutError as error:
            text = "could not confirm zero CustomResources remaining: timed out waiting for the condition"
            await self._tell(key, ("True", "InstanceDeletionCheck", text))
            raise ApiError(text) from error
        except ApiError as error:
            text = f"could not issue all deletes: {error.message}"
            await self._tell(key, ("True", "InstanceDeletionFailed", text))
            raise

    async def _tell(self, key: Key, verdict: tuple[str, str, str], *, last: bool = False) -> None:
        """Write the condition; with `last`, let the definition go."""
        now = rfc3339(self._clock.now())

        def change(obj: Object) -> Object:
            set_condition(obj.setdefault("status", {}), Condition(TERMINATING, *verdict), now)
            if last:
                left = [name for name in obj["metadata"].get("finalizers") or () if name != FINALIZER]
                obj["metadata"]["finalizers"] = left
                if not left:
                    del obj["metadata"]["finalizers"]
            return obj

        await self._definitions.amend(key, change, SELF)


async def remove_all(registry: Registry) -> None:
    """Delete every object of a resource, and wait until they are gone. Raises ApiError, Overrun."""
    with await registry.cache.watch() as watcher:
        left = {item.key for item in watcher.initial}
        for item in watcher.initial:
            await _delete(registry, Key(item.namespace, item.name))
        while left:
            batch = await anext(watcher, None)
            if batch is None:
                raise Overrun("the definition was changed meanwhile")
            for event in batch:
                if event.type == "DELETED":
                    left.discard(event.item.key)
                elif event.item.key not in left:
                    # A server that had not heard of the deletion let it in.
                    left.add(event.item.key)
                    await _delete(registry, Key(event.item.namespace, event.item.name))


async def _delete(registry: Registry, key: Key) -> None:
    try:
        await registry.delete(key, DeleteOptions(), SELF)
    except NotFound:
        # Somebody else deleted it, which is what was wanted.
        return

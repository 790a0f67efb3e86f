"""The eviction subresource of Pods: a deletion that asks the pod's disruption budget first.

Order: the budget gives up one allowance, the pod gets the condition DisruptionTarget, then it is deleted. A
server that dies in between has taken an allowance that the disruption controller returns after two minutes.
Elsewhere: whether the budget allows it (`registry/evictions.py`).
"""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import BadRequest, Conflict
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, Scheme

from ..registry import evictions
from ..registry.deletion import DeleteOptions
from ..registry.metadata import bind_namespace
from ..registry.registry import Registries
from ..registry.writing import Author
from ..storage import codec
from ..storage.cache import Selection
from .call import Call
from .decoding import dry_run, read_object
from .deletes import read_options
from .output import object_response
from .resources import author_of, options_of

ATTEMPTS = 20
"""Times that a pod which needs no budget is read anew because it changed meanwhile."""

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

EVICTION = ResourceInfo(
    group="policy",
    version="v1",
    plural="evictions",
    singular="eviction",
    kind="Eviction",
    namespaced=True,
    definition="io.k8s.api.policy.v1.Eviction",
)


class Evictions:
    """Answers POST of `pods/NAME/eviction`."""

    def __init__(self, scheme: Scheme, registries: Registries, clock: Clock) -> None:
        self._pods = registries.of(scheme.rows["", "v1", "pods"])
        self._budgets = registries.of(scheme.rows["policy", "v1", "poddisruptionbudgets"])
        self._clock = clock

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        eviction = await read_object(call, EVICTION, "CreateOptions")
        name = call.info.name
        bind_namespace(eviction, call.info.namespace)
        if eviction["metadata"].get("name", "") != name:
            raise BadRequest("name in URL does not match name in Eviction object")
        request = read_options(eviction.get("deleteOptions") or {})
        author = replace(
            author_of(call, request.dry_run or dry_run(call, "CreateOptions")), options=options_of(call)
        )
        await self._pods.admit("eviction", EVICTION, eviction, Key(call.info.namespace, name), author)
        await self._evict(Key(call.info.namespace, name), request.options, author)
        return object_response(call, _SUCCESS, 201)

    async def _evict(self, key: Key, options: DeleteOptions, author: Author) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            pod = await self._read(key)
            if not evictions.ignores_budgets(pod):
                await self._ask_and_delete(key, pod, options, author)
                return
            # One that has begun to run in between has a budget to be asked.
            guard = evictions.is_pending(pod)
            try:
                await self._delete(key, self._guarded(options, pod) if guard else options, author)
            except Conflict:
                if options.resource_version or attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _ask_and_delete(self, key: Key, pod: Object, options: DeleteOptions, author: Author) -> None:
        budget = evictions.matching(pod, await self._budgets_of(key.namespace))
        if budget is None:
            await self._delete(key, options, author)
            return
        name = budget["metadata"]["name"]
        if not evictions.exempt(pod, budget):
            now = rfc3339(self._clock.now())
            await self._budgets.amend(
                Key(key.namespace, name), lambda latest: evictions.granted(latest, key.name, now), author
            )
            await self._delete(key, options, author)
            return
        try:
            await self._delete(key, self._guarded(options, pod), author)
        except Conflict as error:
            if options.resource_version:
                raise
            # The pod may have become healthy just now.
            raise evictions.busy(name) from error

    async def _delete(self, key: Key, options: DeleteOptions, author: Author) -> None:
        if not author.dry_run:
            now = rfc3339(self._clock.now())
            written = await self._pods.amend(
                key,
                lambda pod: evictions.marked(pod, options.uid, options.resource_version, now),
                author,
            )
            if options.resource_version:
                metadata = codec.decode(written.wire)["metadata"]
                options = replace(options, resource_version=metadata["resourceVersion"])
        await self._pods.delete(key, options, author, admitted=True)

    @staticmethod
    def _guarded(options: DeleteOptions, pod: Object) -> DeleteOptions:
        """The options, for this very state of the pod."""
        if options.resource_version:
            return options
        return replace(options, resource_version=pod["metadata"]["resourceVersion"])

    async def _read(self, key: Key) -> Object:
        item = await self._pods.cache.get(*key)
        if item is None:
            raise self._pods.missing(key.name)
        return codec.decode(item.wire)

    async def _budgets_of(self, namespace: str) -> list[Object]:
        listed = await self._budgets.cache.list(Selection(namespace=namespace))
        return [codec.decode(item.wire) for item in listed.items]

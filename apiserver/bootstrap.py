"""What a cluster has from its first moment: namespaces, priority classes, the `kubernetes` Service.

Runs at every start, before requests are served; what exists already is left as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Key, Object

from .admission.namespacelifecycle import IMMORTAL
from .admission.priority import GROUP as PRIORITY_GROUP
from .admission.priority import SYSTEM_CLASSES
from .auth.user import MASTERS_GROUP, authenticated
from .config import Network
from .registry.deletion import DeleteOptions
from .registry.flowobjects import AUTO_UPDATE, LEVELS, MANDATORY, SCHEMAS
from .registry.generic import Registry
from .registry.repair import Repair
from .registry.writing import Author
from .storage import codec
from .storage.store import StoreError

log = logging.getLogger(__name__)

FLOW_SECONDS = 60.0
_YES = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_NO = frozenset({"0", "f", "F", "false", "FALSE", "False"})

SELF = Author(authenticated("system:apiserver", groups=(MASTERS_GROUP,)), lambda text: None)
"""As whom the server writes on its own account."""

FLOW_AUTHOR = replace(SELF, manager="api-priority-and-fairness-config-producer-v1")
"""As what it writes flow schemas and priority levels."""

FindRegistry = Callable[[str, str, str], Registry]
"""By group, version and plural."""


class Bootstrap:
    def __init__(
        self, registry: FindRegistry, repair: Repair, ranges: Sequence[Network], clock: Clock
    ) -> None:
        """`ranges`: of the Services' addresses, the one of the default family first."""
        self._registry = registry
        self._repair = repair
        self._ranges = ranges
        self._clock = clock

    async def run(self, port: int) -> None:
        """`port` is the one that the `kubernetes` Service leads to."""
        namespaces = self._registry("", "v1", "namespaces")
        for name in IMMORTAL:
            await ensure(namespaces, {"metadata": {"name": name}}, "")
        for found in SYSTEM_CLASSES:
            await ensure(self._registry(PRIORITY_GROUP, "v1", "priorityclasses"), dict(found), "")
        await self.ensure_flows()
        await self._ensure_range()
        services = self._registry("", "v1", "services")
        await self._repair.once()
        await ensure(services, kubernetes_service(str(self._ranges[0][1]), port), "default")

    async def run_flows(self) -> None:
        """Keep what flow control needs in existence, for ever."""
        while True:
            await self._clock.sleep(FLOW_SECONDS)
            try:
                await self.ensure_flows()
            except* (ApiError, StoreError) as group:
                log.warning("cannot keep flow schemas and priority levels error=%s", group.exceptions[0])

    async def ensure_flows(self) -> None:
        """Flow schemas refer to priority levels: these come first. Of the suggested ones, those that say that
        they are kept up to date are brought back to what is suggested."""
        for plural, objects in (("prioritylevelconfigurations", LEVELS), ("flowschemas", SCHEMAS)):
            registry = self._registry("flowcontrol.apiserver.k8s.io", "v1", plural)
            # All at once: the store then commits them together.
            async with asyncio.TaskGroup() as tasks:
                for wanted in objects:
                    tasks.create_task(self._ensure_flow(registry, wanted))
        for plural, objects in (("flowschemas", SCHEMAS), ("prioritylevelconfigurations", LEVELS)):
            registry = self._registry("flowcontrol.apiserver.k8s.io", "v1", plural)
            await self._remove_outdated(registry, objects)

    async def _ensure_flow(self, registry: Registry, wanted: Object) -> None:
        if not await ensure(registry, duplicate(wanted), "", FLOW_AUTHOR):
            await self._keep(registry, wanted)

    async def _keep(self, registry: Registry, wanted: Object) -> None:
        name = wanted["metadata"]["name"]
        item = await registry.cache.get("", name, at_least=0)
        if item is None:
            return
        found = codec.decode(item.wire)
        mandatory = name in MANDATORY
        kept = mandatory or _is_kept(found)
        # What mandatory ones must say nobody can change; what the exempt level lends is its administrator's.
        spec = wanted["spec"] if kept and not mandatory else found["spec"]
        note = {AUTO_UPDATE: "true" if kept else "false"}
        annotations = found["metadata"].get("annotations") or {}
        if spec == found["spec"] and annotations | note == annotations:
            return

        def change(obj: Object) -> Object:
            obj["spec"] = duplicate(spec)
            obj["metadata"]["annotations"] = (obj["metadata"].get("annotations") or {}) | note
            return obj

        await registry.modify(Key("", name), change, FLOW_AUTHOR)

    async def _remove_outdated(self, registry: Registry, wanted: Sequence[Object]) -> None:
        """What was suggested once, and is kept up to date, goes when it is suggested no more."""
        names = {obj["metadata"]["name"] for obj in wanted}
        for item in (await registry.cache.list(at_least=0)).items:
            if item.name in names:
                continue
            metadata = codec.decode(item.wire)["metadata"]
            if (metadata.get("annotations") or {}).get(AUTO_UPDATE) in _YES:
                options = DeleteOptions(resource_version=metadata["resourceVersion"])
                # What changes at this moment is looked at again the next time.
                with suppress(NotFound, Conflict):
                    await registry.delete(Key("", item.name), options, FLOW_AUTHOR)

    async def _ensure_range(self) -> None:
        """The ServiceCIDR that tells clients which addresses Services have."""
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        cidrs = self._registry("networking.k8s.io", "v1", "servicecidrs")
        wanted = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [*map(str, self._ranges)]}}
        if await ensure(cidrs, wanted, ""):
            status = {"conditions": [ready]}
            await cidrs.amend(Key("", "kubernetes"), lambda obj: obj | {"status": status}, SELF)
        elif len(self._ranges) == 2:
            await cidrs.amend(Key("", "kubernetes"), self._with_second_family, SELF)

    def _with_second_family(self, obj: Object) -> Object:
        """A cluster that had one family has two from now on; all else about its range stays as it is."""
        wanted = [str(network) for network in self._ranges]
        return obj | {"spec": {"cidrs": wanted}} if obj["spec"]["cidrs"] == wanted[:1] else obj


def _is_kept(found: Object) -> bool:
    """Whether a suggested object is brought back to what is suggested: as it says itself; where it says
    nothing, unless it was ever changed."""
    said = (found["metadata"].get("annotations") or {}).get(AUTO_UPDATE)
    if said in _YES or said in _NO:
        return said in _YES
    return bool(found["metadata"].get("generation") == 1)


def kubernetes_service(address: str, port: int) -> Object:
    """The Service under which pods find the API."""
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            "sessionAffinity": "None",
        },
    }


async def ensure(registry: Registry, obj: Object, namespace: str, author: Author = SELF) -> bool:
    """Create the object unless it exists; whether it was created."""
    if await registry.cache.get(namespace, obj["metadata"]["name"]) is not None:
        return False
    row = registry.info
    try:
        await registry.create({"kind": row.kind, "apiVersion": row.api_version} | obj, namespace, author)
    except AlreadyExists:
        # Another server started at the same moment.
        return False
    return True

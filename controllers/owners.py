"""How many Pods their owners want, whatever kind the owners are.

Reads: ReplicaSets, Deployments, StatefulSets and ReplicationControllers from informer caches; the scale
subresource of every other kind, from the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec

from kplane.api.errors import NotFound
from kplane.api.resource import Key, Resource
from kplane.api.types import Deployment, OwnerReference, Pod, ReplicaSet
from kplane.api.types.meta import Part, View
from kplane.client.controller import Context
from kplane.client.informer import Informer

from .discovery import discover


class ScaleSpec(Part, frozen=True):
    replicas: int = 1


class Scaled(View, frozen=True):
    """A workload or a Scale, as far as its size goes."""

    API: ClassVar[Resource[Any]]

    spec: ScaleSpec = ScaleSpec()


STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, Scaled)
REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers", "ReplicationController", True, Scaled)


class NoScale(Exception):
    """The scale of some owner cannot be told; worded for the budget's condition."""


class Owners:
    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._sets = ctx.informer(ReplicaSet)
        self._deployments = ctx.informer(Deployment)
        self._stateful = ctx.informer(STATEFUL_SETS)
        self._controllers = ctx.informer(REPLICATION_CONTROLLERS)

    def on_change(self, wake: Callable[[str], None]) -> None:
        """Call `wake` with the namespace of a workload whose scale has changed."""

        def changed(old: Any, new: Any) -> None:
            if old is None or new is None or old.spec.replicas != new.spec.replicas:
                wake((new or old).metadata.namespace)

        self._sets.on_change(changed)
        self._deployments.on_change(changed)
        self._stateful.on_change(changed)
        self._controllers.on_change(changed)

    async def expected(self, pods: Iterable[Pod]) -> int:
        """The sum over all owners of these Pods; Pods without one do not count. Raises NoScale."""
        scales: dict[str, int] = {}
        for pod in pods:
            owner = pod.metadata.controller
            if owner is None or owner.uid in scales:
                continue
            top, replicas = await self._scale(pod, owner)
            scales[owner.uid] = 0
            scales[top] = replicas
        return sum(scales.values())

    async def _scale(self, pod: Pod, owner: OwnerReference) -> tuple[str, int]:
        """The uid of the workload that decides, and how many Pods it wants."""
        namespace, group = pod.metadata.namespace, owner.api_version.rpartition("/")[0]
        if (group, owner.kind) == ("apps", "ReplicaSet"):
            return await self._replica_set(pod, owner)
        informer = {
            ("apps", "StatefulSet"): self._stateful, ("", "ReplicationController"): self._controllers
        }.get((group, owner.kind))  # fmt: skip
        found = _same(informer, namespace, owner) if informer is not None else None
        if found is not None:
            return owner.uid, found.spec.replicas
        return await self._other(pod, owner, group)

    async def _replica_set(self, pod: Pod, owner: OwnerReference) -> tuple[str, int]:
        """A ReplicaSet of a Deployment wants what the Deployment wants, in whichever of its sets."""
        namespace = pod.metadata.namespace
        rs = _same(self._sets, namespace, owner)
        if rs is None:
            return await self._other(pod, owner, "apps")
        above = rs.metadata.controller
        deployment = None
        if above is not None and (above.kind, above.api_version.rpartition("/")[0]) == ("Deployment", "apps"):
            deployment = _same(self._deployments, namespace, above)
        if deployment is None:
            return owner.uid, rs.spec.replicas
        return deployment.metadata.uid, deployment.spec.replicas

    async def _other(self, pod: Pod, owner: OwnerReference, group: str) -> tuple[str, int]:
        discovered = await discover(self._client, group)
        served = next((entry for entry in discovered.served if entry.resource.kind == owner.kind), None)
        if served is None:
            raise NoScale(f'no matches for kind "{owner.kind}" in version "{owner.api_version}"')
        resource = served.resource.as_type(dict)
        path = resource.path(pod.metadata.namespace, owner.name, "scale")
        try:
            body = await self._client.raw("GET", path)
        except NotFound as error:
            if "scale" in served.subresources:
                raise _no_controllers(pod) from error
            group_resource = f"{resource.plural}.{group}" if group else resource.plural
            raise NoScale(f"{group_resource} does not implement the scale subresource") from error
        scale = msgspec.json.decode(body, type=Scaled)
        if scale.metadata.uid != owner.uid:
            raise _no_controllers(pod)
        return owner.uid, scale.spec.replicas


def _same(informer: Informer[Any], namespace: str, owner: OwnerReference) -> Any:
    """The object that the reference means; None where it is gone or another has taken its name."""
    found = informer.get(Key(namespace, owner.name))
    return found if found is not None and found.metadata.uid == owner.uid else None


def _no_controllers(pod: Pod) -> NoScale:
    return NoScale(f'found no controllers for pod "{pod.metadata.name}"')

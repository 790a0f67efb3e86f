"""Which objects are related to which node: node <- pod <- secret, and so on.

    node <- pod <- secret, configmap, serviceaccount, resourceclaim
    node <- pod <- persistentvolumeclaim <- persistentvolume <- secret of the volume
    node <- volumeattachment, resourceslice, podcertificaterequest

Reads: Pods, PersistentVolumes, VolumeAttachments, ResourceSlices and PodCertificateRequests, from their watch
caches, by changes.
For each object that pods need it counts the pods on each node, so that a question costs the same however many
pods there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...storage import codec
from ...storage.cache import WatchCache
from ...storage.events import Item
from ..feed import Feed
from .references import Vertex, needed_by_pod, secrets_of_volume

_CLAIM_STATUSES = (b'"resourceClaimStatuses"', b'"extendedResourceClaimStatus"')
CERTIFICATES = ("certificates.k8s.io", "v1", "podcertificaterequests")
SLICES = ("resource.k8s.io", "v1", "resourceslices")


def _place(item: Item) -> str:
    """Where an object is: its name, behind its namespace if it has one."""
    return f"{item.namespace}/{item.name}" if item.namespace else item.name


@dataclass(frozen=True)
class _Pod:
    node: str
    needs: frozenset[Vertex]


@dataclass(frozen=True)
class _Volume:
    claim: Vertex
    secrets: frozenset[Vertex]


@dataclass
class _Counts:
    """How many pods of each node need each object."""

    by_object: dict[Vertex, dict[str, int]] = field(default_factory=dict)

    def add(self, vertex: Vertex, node: str) -> None:
        nodes = self.by_object.setdefault(vertex, {})
        nodes[node] = nodes.get(node, 0) + 1

    def remove(self, vertex: Vertex, node: str) -> None:
        nodes = self.by_object[vertex]
        nodes[node] -= 1
        if not nodes[node]:
            del nodes[node]
        if not nodes:
            del self.by_object[vertex]

    def has(self, vertex: Vertex, node: str) -> bool:
        return node in self.by_object.get(vertex, ())


class Graph:
    """Up to date as of the last `refresh`."""

    def __init__(self, cache: Callable[[str, str, str], WatchCache]) -> None:
        """`cache` finds one by group, version and plural."""
        self._pods: dict[str, _Pod] = {}
        self._counts = _Counts()
        self._volumes: dict[str, _Volume] = {}
        self._volumes_of_secret: dict[Vertex, set[str]] = {}
        self._attachments: dict[str, str] = {}
        self._slices: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        self._feeds = [
            Feed(lambda: cache("", "v1", "pods"), self._put_pod, self._drop_pod, self._clear_pods),
            Feed(
                lambda: cache("", "v1", "persistentvolumes"),
                self._put_volume,
                self._drop_volume,
                self._clear_volumes,
            ),
            self._named(cache, ("storage.k8s.io", "v1", "volumeattachments"), self._attachments),
            self._named(cache, SLICES, self._slices),
            self._named(cache, CERTIFICATES, self._certificates),
        ]

    @staticmethod
    def _named(
        cache: Callable[[str, str, str], WatchCache], path: tuple[str, str, str], nodes: dict[str, str]
    ) -> Feed:
        """Objects whose spec names their node."""

        def put(item: Item) -> None:
            nodes[_place(item)] = (codec.decode(item.wire).get("spec") or {}).get("nodeName") or ""

        def drop(item: Item) -> None:
            nodes.pop(_place(item), None)

        return Feed(lambda: cache(*path), put, drop, nodes.clear)

    async def refresh(self) -> bool:
        """Take in what the caches know; whether anything changed."""
        changed = False
        for feed in self._feeds:
            changed |= await feed.refresh()
        return changed

    async def catch_up(self) -> bool:
        """Take in every acknowledged write. Raises ApiError, StoreError."""
        for feed in self._feeds:
            await feed.catch_up()
        return await self.refresh()

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a path leads from the object to the node."""
        match resource:
            case "pods":
                pod = self._pods.get(f"{namespace}/{name}")
                return pod is not None and pod.node == node
            case "persistentvolumes":
                return self._volume_is_used(name, node)
            case "volumeattachments":
                return bool(node) and self._attachments.get(name) == node
            case "resourceslices":
                return bool(node) and self._slices.get(name) == node
            case "podcertificaterequests":
                return bool(node) and self._certificates.get(f"{namespace}/{name}") == node
        vertex = (resource, namespace, name)
        if self._counts.has(vertex, node):
            return True
        volumes = self._volumes_of_secret.get(vertex, ())
        return any(self._volume_is_used(volume, node) for volume in volumes)

    def _volume_is_used(self, name: str, node: str) -> bool:
        volume = self._volumes.get(name)
        return volume is not None and self._counts.has(volume.claim, node)

    def _put_pod(self, item: Item) -> None:
        key, node = f"{item.namespace}/{item.name}", item.fields.get("spec.nodeName", "")
        known = self._pods.get(key)
        if not node:
            if known is not None:
                self._drop_pod(item)
            return
        # What a bound pod needs is in its spec, and stays; but for claims, which are made for it later, and
        # containers that are added.
        settled = known is not None and known.node == node
        if settled and not any(name in item.wire for name in (*_CLAIM_STATUSES, b'"ephemeralContainers"')):
            return
        pod = _Pod(node, frozenset(needed_by_pod(codec.decode(item.wire))))
        if known == pod:
            return
        if known is not None:
            self._drop_pod(item)
        self._pods[key] = pod
        for vertex in pod.needs:
            self._counts.add(vertex, node)

    def _drop_pod(self, item: Item) -> None:
        pod = self._pods.pop(f"{item.namespace}/{item.name}", None)
        for vertex in pod.needs if pod else ():
            self._counts.remove(vertex, pod.node if pod else "")

    def _clear_pods(self) -> None:
        self._pods.clear()
        self._counts.by_object.clear()

    def _put_volume(self, item: Item) -> None:
        self._drop_volume(item)
        obj = codec.decode(item.wire)
        claim = (obj.get("spec") or {}).get("claimRef")
        if not claim:
            return
        vertex = ("persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", ""))
        secrets = frozenset(("secrets", *secret) for secret in secrets_of_volume(obj))
        self._volumes[item.name] = _Volume(vertex, secrets)
        for secret in secrets:
            self._volumes_of_secret.setdefault(secret, set()).add(item.name)

    def _drop_volume(self, item: Item) -> None:
        volume = self._volumes.pop(item.name, None)
        for secret in volume.secrets if volume else ():
            self._volumes_of_secret[secret].discard(item.name)
            if not self._volumes_of_secret[secret]:
                del self._volumes_of_secret[secret]

    def _clear_volumes(self) -> None:
        self._volumes.clear()
        self._volumes_of_secret.clear()

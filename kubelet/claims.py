"""PersistentVolumes behind the claims of this node's pods: looked up when a pod starts, kept until it ends.

Reads: PersistentVolumeClaims, PersistentVolumes and its own Node, by name, as nodes may. Writes nothing:
binding is the control plane's. Source: the kubelet's `desired_state_of_world_populator.go`.
"""

from __future__ import annotations

from kplane.api.types import Node
from kplane.client.rest import Client

from .persistentvolume import PersistentVolume, PersistentVolumeClaim
from .pod import Pod, Volume
from .volumes.volume import VolumeFailure


class ClaimCache:
    def __init__(self, client: Client, node_name: str) -> None:
        self._client, self._node_name = client, node_name
        self._known: dict[tuple[str, str], PersistentVolume] = {}

    async def get(self, pod: Pod, volume: Volume) -> PersistentVolume:
        """What the claim of a pod's volume is bound to. Raises VolumeFailure, ApiError."""
        key = (pod.metadata.uid, volume.name)
        if key not in self._known:
            self._known[key] = await self._look_up(pod, volume)
        return self._known[key]

    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._known if key[0] == pod_uid]:
            del self._known[key]

    async def _look_up(self, pod: Pod, volume: Volume) -> PersistentVolume:
        namespace, name = pod.metadata.namespace, claim_name(pod, volume)
        claim = await self._client.get(PersistentVolumeClaim, name, namespace)
        here = f"error processing PVC {namespace}/{name}: "
        owned = any(owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references)
        if volume.ephemeral is not None and not owned:
            pod_name = f"{namespace}/{pod.metadata.name}"
            raise VolumeFailure(
                f"{here}PVC {namespace}/{name} was not created for pod {pod_name} (pod is not owner)"
            )
        if claim.metadata.deletion_timestamp is not None:
            raise VolumeFailure(f"{here}PVC is being deleted")
        if claim.status.phase != "Bound" or not claim.spec.volume_name:
            raise VolumeFailure(f"{here}PVC is not bound")
        found = await self._client.get(PersistentVolume, claim.spec.volume_name)
        if found.spec.claim_ref.uid != claim.metadata.uid:
            raise VolumeFailure(f"{here}PVC is not bound to PV {claim.spec.volume_name}")
        if found.spec.volume_mode == "Block":
            raise VolumeFailure(f"{here}volumes of mode Block are not supported")
        if found.spec.node_affinity.required is not None:
            node = await self._client.get(Node, self._node_name)
            if not found.reachable_from(node.metadata.labels):
                # Whoever chose this node did not know; another folder of the same path would be used.
                volume_name = found.metadata.name
                raise VolumeFailure(
                    f'NodeAffinity check failed for volume "{volume_name}" : no matching NodeSelectorTerms'
                )
        return found


def claim_name(pod: Pod, volume: Volume) -> str:
    """A generic ephemeral volume has a claim of its own, named after the pod and itself."""
    if volume.claim is not None:
        return volume.claim.claim_name
    return f"{pod.metadata.name}-{volume.name}"

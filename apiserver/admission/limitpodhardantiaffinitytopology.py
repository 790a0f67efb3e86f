"""LimitPodHardAntiAffinityTopology: required anti-affinity is about nodes, not about zones."""

from __future__ import annotations

from kplane.api.errors import forbidden

from .chain import Attributes, Operation, on
from .context import AdmissionContext

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class LimitPodHardAntiAffinityTopology:
    name = "LimitPodHardAntiAffinityTopology"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def validate(self, attributes: Attributes) -> None:
        pod = attributes.object
        assert pod is not None
        affinity = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
        for term in affinity.get(REQUIRED) or []:
            if (key := term.get("topologyKey", "")) != HOSTNAME:
                why = (
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} "
                    f"but only key {HOSTNAME} is allowed"
                )
                raise forbidden("pods", "", pod["metadata"].get("name", ""), why)

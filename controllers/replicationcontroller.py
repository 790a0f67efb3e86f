"""ReplicationController controller: the ReplicaSet controller, for the kind that came before ReplicaSets.

Reads: ReplicationControllers and Pods, from informer caches.
Writes: Pods, their ownerReferences, and ReplicationController status, through the API server.
Elsewhere: everything that it does (replicaset.py).
"""

from __future__ import annotations

from kplane.api.resource import Object
from kplane.api.types.apps import ReplicationController

from .replicaset import ReplicaSetController


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller-controller"
    kind = ReplicationController

    def shown(self, status: Object) -> Object:
        """Terminating Pods are counted for ReplicaSets only."""
        return {field: value for field, value in status.items() if field != "terminatingReplicas"}

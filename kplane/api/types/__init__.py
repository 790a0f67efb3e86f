"""Typed read views: frozen structs with the fields that control loops read, decoded from the wire.

A view drops every field that it does not name, so it is never written back: writes are new bodies or
patches. A component that reads more fields of a kind declares a view of its own beside the code that reads
them; an informer takes any view class.
"""

from kplane.api.types.apps import Deployment, ReplicaSet
from kplane.api.types.batch import CronJob, Job
from kplane.api.types.coordination import Lease
from kplane.api.types.core import (
    ConfigMap,
    Endpoints,
    Event,
    Namespace,
    Node,
    Pod,
    Secret,
    Service,
)
from kplane.api.types.discovery import EndpointSlice
from kplane.api.types.meta import (
    Condition,
    LabelSelector,
    ObjectMeta,
    OwnerReference,
    PartialObjectMetadata,
    View,
    key_of,
)

__all__ = [
    "Condition",
    "ConfigMap",
    "CronJob",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "Job",
    "LabelSelector",
    "Lease",
    "Namespace",
    "Node",
    "ObjectMeta",
    "OwnerReference",
    "PartialObjectMetadata",
    "Pod",
    "ReplicaSet",
    "Secret",
    "Service",
    "View",
    "key_of",
]

"""What tests import: fakes that pass the same contract tests as the real parts, and object builders."""

from kplane.testing.clock import VirtualClock
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import (
    as_view,
    make_configmap,
    make_deployment,
    make_endpoint_slice,
    make_namespace,
    make_node,
    make_object,
    make_pod,
    make_pods,
    make_replicaset,
    make_secret,
    make_service,
    make_template,
    owner_reference,
)

__all__ = [
    "FakeCluster",
    "VirtualClock",
    "as_view",
    "make_configmap",
    "make_deployment",
    "make_endpoint_slice",
    "make_namespace",
    "make_node",
    "make_object",
    "make_pod",
    "make_pods",
    "make_replicaset",
    "make_secret",
    "make_service",
    "make_template",
    "owner_reference",
]

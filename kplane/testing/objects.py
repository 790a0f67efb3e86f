"""Builders of API objects for tests: small, valid, and with the uids that owner references need.

Each takes what tests usually vary; anything else is changed on the plain object that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from kplane.api.resource import Object
from kplane.api.types.meta import View
from kplane.client.codec import codec, encode

T = TypeVar("T")

CREATED = "2026-01-01T00:00:00Z"
APP: Mapping[str, str] = {"app": "web"}


def make_object(api_version: str, kind: str, name: str, namespace: str = "", **parts: Any) -> Object:
    """Any object; `parts` are its top-level fields, and `labels`, `annotations`, `finalizers` metadata's."""
    metadata: Object = {
        "name": name,
        "uid": "-".join(part for part in (kind.lower(), namespace, name) if part),
        "creationTimestamp": CREATED,
        "generation": 1,
    }
    if namespace:
        metadata["namespace"] = namespace
    for field in ("labels", "annotations", "finalizers"):
        if value := parts.pop(field, None):
            metadata[field] = value
    if owner := parts.pop("owner", None):
        metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def as_view(view: type[T], obj: Object) -> T:
    """What a component sees of a plain object."""
    return codec(view).one(encode(obj))


def owner_reference(owner: Object | View, *, controller: bool = True) -> Object:
    """A reference to a plain object or a view, as its controller."""
    if isinstance(owner, View):
        api_version, kind = owner.API.api_version, owner.API.kind
        name, uid = owner.metadata.name, owner.metadata.uid
    else:
        api_version, kind = owner["apiVersion"], owner["kind"]
        name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def make_template(labels: Mapping[str, str] = APP, image: str = "web:1") -> Object:
    """A pod template with one container."""
    return {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "web", "image": image}]}}


def make_pod(
    name: str = "web",
    namespace: str = "default",
    *,
    labels: Mapping[str, str] = APP,
    owner: Object | View | None = None,
    node: str = "",
    ready: bool = False,
    phase: str = "",
    ip: str = "",
    requests: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    """A Pod with one container; further keywords are fields of its spec. A ready one is Running."""
    container: Object = {"name": "web", "image": "web:1"}
    if requests:
        container["resources"] = {"requests": dict(requests)}
    status: Object = {"phase": phase or ("Running" if ready else "Pending")}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": CREATED}]
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    whole: Object = {"containers": [container], **spec}
    if node:
        whole["nodeName"] = node
    return make_object(
        "v1", "Pod", name, namespace, labels=dict(labels), owner=owner, spec=whole, status=status
    )


def make_pods(count: int, *, owner: Object | View | None = None, **options: Any) -> Sequence[Object]:
    """So many Pods, named after their owner where they have one, in its namespace."""
    stem, namespace = "web", "default"
    if isinstance(owner, View):
        stem, namespace = owner.metadata.name, owner.metadata.namespace
    elif owner is not None:
        stem, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    namespace = options.pop("namespace", namespace)
    return [make_pod(f"{stem}-{number}", namespace, owner=owner, **options) for number in range(count)]


def make_node(
    name: str = "node-1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Object] = (),
    ready: bool = True,
    **spec: Any,
) -> Object:
    """A Node with resources and a Ready condition; further keywords are fields of its spec."""
    resources = {"cpu": cpu, "memory": memory, "pods": str(pods)}
    condition = {"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady"}
    status = {
        "capacity": resources,
        "allocatable": dict(resources),
        "conditions": [condition | {"lastHeartbeatTime": CREATED, "lastTransitionTime": CREATED}],
    }
    whole: Object = {"taints": list(taints), **spec} if taints else spec
    names = {"kubernetes.io/hostname": name, **(labels or {})}
    return make_object("v1", "Node", name, labels=names, spec=whole, status=status)


def make_namespace(name: str = "default", *, phase: str = "Active") -> Object:
    return make_object(
        "v1", "Namespace", name, labels={"kubernetes.io/metadata.name": name},
        spec={"finalizers": ["kubernetes"]}, status={"phase": phase},
    )  # fmt: skip


def make_replicaset(
    name: str = "web",
    namespace: str = "default",
    *,
    replicas: int = 1,
    labels: Mapping[str, str] = APP,
    template: Object | None = None,
    owner: Object | View | None = None,
    status: Object | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    whole = _workload(replicas, labels, template, spec)
    return make_object(
        "apps/v1", "ReplicaSet", name, namespace, labels=dict(labels), owner=owner, spec=whole,
        status=status or {"replicas": 0}, annotations=dict(annotations or {}),
    )  # fmt: skip


def make_deployment(
    name: str = "web",
    namespace: str = "default",
    *,
    replicas: int = 1,
    labels: Mapping[str, str] = APP,
    template: Object | None = None,
    status: Object | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    """With the defaults that the API server would fill in; further keywords are fields of its spec."""
    defaults: Object = {
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    return make_object(
        "apps/v1", "Deployment", name, namespace, labels=dict(labels), status=status or {},
        spec=_workload(replicas, labels, template, defaults | spec), annotations=dict(annotations or {}),
    )  # fmt: skip


def make_service(
    name: str = "web",
    namespace: str = "default",
    *,
    selector: Mapping[str, str] | None = APP,
    ports: Sequence[Object] = ({"port": 80, "targetPort": 8080, "protocol": "TCP"},),
    cluster_ip: str = "10.96.0.10",
    **spec: Any,
) -> Object:
    """A ClusterIP Service; further keywords are fields of its spec. `selector` None: without one."""
    whole: Object = {"type": "ClusterIP", "ports": [dict(port) for port in ports], **spec}
    if cluster_ip:
        whole |= {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip]}
    if selector is not None:
        whole["selector"] = dict(selector)
    return make_object("v1", "Service", name, namespace, spec=whole, status={"loadBalancer": {}})


def make_endpoint_slice(
    service: str = "web",
    namespace: str = "default",
    *,
    name: str = "",
    addresses: Sequence[str] = (),
    ports: Sequence[Object] = ({"name": "", "port": 8080, "protocol": "TCP"},),
    ready: bool = True,
) -> Object:
    """An IPv4 slice of a Service, with one endpoint per address."""
    endpoints = [
        {"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": False}}
        for address in addresses
    ]
    return make_object(
        "discovery.k8s.io/v1", "EndpointSlice", name or f"{service}-1", namespace, addressType="IPv4",
        labels={"kubernetes.io/service-name": service}, endpoints=endpoints,
        ports=[dict(port) for port in ports],
    )  # fmt: skip


def make_configmap(
    name: str = "settings", namespace: str = "default", *, data: Mapping[str, str] | None = None
) -> Object:
    return make_object("v1", "ConfigMap", name, namespace, data=dict(data or {}))


def make_secret(
    name: str = "credentials", namespace: str = "default", *, data: Mapping[str, str] | None = None
) -> Object:
    """`data` holds values in base64."""
    return make_object("v1", "Secret", name, namespace, type="Opaque", data=dict(data or {}))


def _workload(replicas: int, labels: Mapping[str, str], template: Object | None, spec: Object) -> Object:
    return {
        "replicas": replicas,
        "selector": {"matchLabels": dict(labels)},
        "template": template or make_template(labels),
        **spec,
    }

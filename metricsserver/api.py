"""`metrics.k8s.io`, in two versions that differ in nothing, over HTTP: discovery, NodeMetrics and PodMetrics,
health.

Whoever asks must be the API server's front proxy, by its certificate: it has asked for the caller's rights
already. Health is told to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.x509.oid import NameOID

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from kplane.api.resource import Key, Object
from kplane.api.selectors import SelectorError, parse_fields, parse_labels
from kplane.api.types import Node
from kplane.client.codec import encode
from kplane.client.informer import Informer
from kplane.runtime.health import respond
from kplane.runtime.serving import Scope, peer_certificate

from .metrics import Metrics
from .objects import Viewer, table
from .views import Pod

GROUP, VERSIONS = "metrics.k8s.io", ("v1", "v1beta1")
BY_NODE = "node"
"""The index of Pods by their node."""
JSON = "application/json"

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Health:
    """Applications with health and metrics: whether the process works, whether it has anything to tell."""

    alive: Callable[..., Any]
    ready: Callable[..., Any]


class MetricsApi:
    """The ASGI application. `proxies` are the common names of the certificates that may ask, any if it is
    empty."""

    def __init__(
        self,
        viewer: Viewer,
        nodes: Informer[Node],
        pods: Informer[Pod],
        clock: Clock,
        health: Health,
        metrics: Metrics,
        proxies: Sequence[str] = (),
    ) -> None:
        self._viewer = viewer
        self._metrics = metrics
        self._nodes = nodes
        self._pods = pods
        self._clock = clock
        self._health = health
        self._proxies = frozenset(proxies)
        pods.add_index(BY_NODE, lambda pod: [pod.spec.node_name] if pod.spec.node_name else [])

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        match path.split("/")[1]:
            case "readyz":
                await self._health.ready(scope, receive, send)
                return
            case "healthz" | "livez":
                await self._health.alive(scope, receive, send)
                return
        try:
            self._admit(scope)
            if path == "/metrics":
                await self._health.alive(scope, receive, send)
                return
            body = self._answer(scope, path)
        except ApiError as error:
            await respond(send, error.http_code, encode(error.status()), JSON)
            return
        await respond(send, 200, encode(body), JSON)

    def _admit(self, scope: Scope) -> None:
        """Raises Unauthorized. The handshake has verified the certificate, if there is one."""
        certificate = peer_certificate(scope)
        if certificate is None:
            raise Unauthorized()
        subject = x509.load_der_x509_certificate(certificate).subject
        names = {entry.value for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        if self._proxies and not self._proxies & names:
            raise Unauthorized()

    def _answer(self, scope: Scope, path: str) -> Object:
        if scope["method"] != "GET":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        as_table = b"as=Table" in dict(scope["headers"]).get(b"accept", b"")
        match path.strip("/").split("/"):
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]}
            case ["apis", group] if group == GROUP:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group()}
            case ["apis", group, version] if group == GROUP and version in VERSIONS:
                return _resources(f"{GROUP}/{version}")
            case ["apis", group, version, *rest] if group == GROUP and version in VERSIONS:
                found = self._resource(rest, query)
                return table(_rows(found)) if as_table else found | {"apiVersion": f"{GROUP}/{version}"}
        raise NotFound("the server could not find the requested resource")

    def _resource(self, rest: Sequence[str], query: Query) -> Object:
        """A list or an object, without its version."""
        match rest:
            case ["nodes"]:
                return _list("NodeMetricsList", self._node_items(query))
            case ["nodes", name]:
                return {"kind": "NodeMetrics", **_one(self._node(Key("", name)), "nodes", name)}
            case ["pods"]:
                return _list("PodMetricsList", self._pod_items(None, query))
            case ["namespaces", namespace, "pods"]:
                return _list("PodMetricsList", self._pod_items(namespace, query))
            case ["namespaces", namespace, "pods", name]:
                found = self._pod(Key(namespace, name))
                return {"kind": "PodMetrics", **_one(found, "pods", f"{namespace}/{name}")}
        raise NotFound("the server could not find the requested resource")

    def _node(self, key: Key) -> Object | None:
        node = self._nodes.get(key)
        return None if node is None else self._node_metrics(node)

    def _node_metrics(self, node: Node) -> Object | None:
        pods = self._pods.by_index(BY_NODE, node.metadata.name)
        return self._told(self._viewer.node(node, pods, self._clock.now()))

    def _pod(self, key: Key) -> Object | None:
        pod = self._pods.get(key)
        return None if pod is None else self._told(self._viewer.pod(pod, self._clock.now()))

    def _node_items(self, query: Query) -> list[Object]:
        chosen = _chooser(query)
        nodes = [node for node in self._nodes.list() if chosen(node)]
        return _sorted(self._node_metrics(node) for node in nodes)

    def _pod_items(self, namespace: str | None, query: Query) -> list[Object]:
        chosen, now = _chooser(query), self._clock.now()
        pods = (pod for pod in self._pods.list(namespace) if chosen(pod))
        return _sorted(self._told(self._viewer.pod(pod, now)) for pod in pods)

    def _told(self, found: Object | None) -> Object | None:
        """What is served, and how old it is."""
        if found is not None:
            age = self._clock.now() - datetime.fromisoformat(found["timestamp"])
            self._metrics.freshness.observe(age.total_seconds())
        return found


def _chooser(query: Query) -> Callable[[Node | Pod], bool]:
    """What the selectors choose. Raises BadRequest."""
    try:
        labels = parse_labels(query.get("labelSelector", [""])[0])
        fields = parse_fields(query.get("fieldSelector", [""])[0])
    except SelectorError as error:
        raise BadRequest(str(error)) from error
    known = {"metadata.name", "metadata.namespace"}
    for term in fields.requirements:
        if term.field not in known:
            raise BadRequest(f'field label not supported: "{term.field}"')

    def chosen(obj: Node | Pod) -> bool:
        meta = obj.metadata
        named = {"metadata.name": meta.name, "metadata.namespace": meta.namespace}
        return labels.matches(meta.labels) and fields.matches(named)

    return chosen


def _sorted(found: Any) -> list[Object]:
    def place(item: Object) -> tuple[str, str]:
        return item["metadata"].get("namespace", ""), item["metadata"]["name"]

    return sorted((item for item in found if item is not None), key=place)


def _list(kind: str, items: list[Object]) -> Object:
    return {"kind": kind, "metadata": {}, "items": items}


def _rows(found: Object) -> list[Object]:
    """What a Table of a list, or of one object, has lines of."""
    rows: list[Object] = found.get("items", [found])
    return rows


def _one(found: Object | None, plural: str, name: str) -> Object:
    if found is None:
        message = f'{plural}.{GROUP} "{name}" not found'
        raise NotFound(message, {"name": name, "group": GROUP, "kind": plural})
    return found


def _group() -> Object:
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
    return {"name": GROUP, "versions": versions, "preferredVersion": versions[0]}


def _resources(api_version: str) -> Object:
    rows = (("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": [
            {
                "name": plural,
                "singularName": "",
                "namespaced": namespaced,
                "kind": kind,
                "verbs": ["get", "list"],
            }
            for plural, kind, namespaced in rows
        ],
    }

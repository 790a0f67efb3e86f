"""A fake cluster with scales and metrics APIs, for tests of autoscaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from kplane.api import errors
from kplane.api.resource import Object
from kplane.client.controller import Context
from kplane.client.rest import Client
from kplane.client.transport import Relay, Response, Transport
from kplane.testing.discoverable import DiscoverableCluster


class FakeMetrics(Relay):
    """In front of a cluster: it answers for metrics APIs (path -> body) and for the scale of one Deployment
    `web`."""

    def __init__(self, beyond: Transport) -> None:
        super().__init__(beyond)
        self.answers: dict[str, Object] = {}
        self.scale: Object = {}
        self.fail_scale: errors.ApiError | None = None
        self.conflicts = 0
        """Writes of the scale that are still to be refused, as somebody else has written it."""
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def request(self, method: str, path: str, **options: Any) -> Response:
        if path.endswith("/scale"):
            return self._scaled(method, options.get("body", b""))
        if "metrics.k8s.io" in path:
            self.asked.append((path, options.get("query") or {}))
            found = self.answers.get(path)
            return _answer(200, found) if found else _refusal(errors.NotFound("the server could not find it"))
        return await super().request(method, path, **options)

    def _scaled(self, method: str, body: bytes) -> Response:
        if self.fail_scale is not None:
            return _refusal(self.fail_scale)
        if method == "PUT" and self.conflicts:
            self.conflicts -= 1
            return _refusal(errors.Conflict("the object has been modified"))
        if method == "PUT":
            self.scale["spec"] = msgspec.json.decode(body)["spec"]
        return _answer(200, self.scale)

    @property
    def replicas(self) -> int:
        found: int = self.scale["spec"]["replicas"]
        return found

    def set_scale(self, replicas: int, selector: str = "app=web") -> None:
        metadata = {"name": "web", "namespace": "default", "resourceVersion": "1"}
        status = {"replicas": replicas, "selector": selector}
        head = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
        self.scale = head | {"spec": {"replicas": replicas}, "status": status}

    def set_usage(self, usage: Mapping[str, Mapping[str, str]], resource: str = "cpu") -> None:
        """Pod -> container -> usage."""
        items = [
            {
                "metadata": {"name": pod, "namespace": "default"},
                "timestamp": "2030-01-01T00:00:00Z",
                "window": "30s",
                "containers": [{"name": name, "usage": {resource: value}} for name, value in parts.items()],
            }
            for pod, parts in usage.items()
        ]
        self.answers["/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"] = {"items": items}


def _answer(status: int, body: Any) -> Response:
    return Response(status, {"content-type": "application/json"}, msgspec.json.encode(body))


def _refusal(error: errors.ApiError) -> Response:
    return _answer(error.http_code, error.status())


@dataclass
class ScaledCluster:
    """The cluster under test, and what stands in front of it."""

    cluster: DiscoverableCluster
    metrics: FakeMetrics

    def context(self, options: Any = None) -> Context:
        """As FakeCluster's, with a client that sees scales and metrics."""
        context = self.cluster.context(options=options)
        return replace(context, client=Client(self.metrics, clock=self.cluster.clock))

"""Health as load balancers and monitors ask for it: `/healthz` (is this node worth traffic), `/livez`.

Rules: upstream `healthcheck/proxy_health.go` and KEP-3836. The metrics server is another one, with
`/proxyMode` beside the usual endpoints. Elsewhere: what they ask about a Service (servicehealth.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from kplane.api.clock import Clock
from kplane.api.types import Node
from kplane.runtime.health import component_app, respond

from . import metrics
from .proxier import Proxier

MODE = "nftables"
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
"""The taint that the cluster autoscaler sets before it deletes a node."""

JSON = "application/json"


def health_app(proxier: Proxier, clock: Clock) -> Callable[..., Any]:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] not in ("/healthz", "/livez"):
            await respond(send, 404, b"404 page not found\n")
            return
        eligibility = scope["path"] == "/healthz"
        code, body = report(proxier, clock, eligibility=eligibility)
        (metrics.HEALTHZ if eligibility else metrics.LIVEZ).labels(str(code)).inc()
        await respond(send, code, msgspec.json.encode(body), JSON)

    return app


def report(proxier: Proxier, clock: Clock, *, eligibility: bool) -> tuple[int, dict[str, Any]]:
    """Status code and body. A node that is about to be deleted is healthy, but not eligible for traffic."""
    now = clock.now()
    alive = proxier.healthy
    updated = now if alive and not proxier.overdue else proxier.last_updated
    body: dict[str, Any] = {"lastUpdated": str(updated or ""), "currentTime": str(now)}
    if eligibility:
        body["nodeEligible"] = _eligible(proxier.node)
        alive = alive and body["nodeEligible"]
    return (200 if alive else 503), body


def _eligible(node: Node | None) -> bool:
    """Whether load balancers should send traffic here; as long as the node is not known, they may."""
    if node is None:
        return True
    doomed = any(taint.key == TO_BE_DELETED for taint in node.spec.taints)
    return node.metadata.deletion_timestamp is None and not doomed


def metrics_app() -> Callable[..., Any]:
    inner = component_app({})

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/proxyMode":
            await respond(send, 200, MODE.encode())
            return
        await inner(scope, receive, send)

    return app

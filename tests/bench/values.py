"""What a request costs before it reaches the store: decoding, checking, defaulting, validating one Pod.

    python -m tests.bench.values

Microseconds for one Pod of about 2 KB, the best of ROUNDS runs, on one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from kplane.api import schema
from kplane.api.check import check
from kplane.api.decode import decode_json, duplicate_keys
from kplane.api.field import Path
from kplane.api.patches import strategic
from kplane.api.selectors import parse_labels
from kplane.apiserver.registry import metadata
from kplane.apiserver.registry.strategies import STRATEGIES

ROUNDS, CALLS = 7, 500
LABELS = {"app": "web", "tier": "frontend", "pod-template-hash": "7d4b9c6f5d"}


def pod() -> dict[str, Any]:
    """A Pod as a ReplicaSet makes it, with most of what people use."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    app = {
        "name": "app",
        "image": "registry.example.com/team/web:1.2.3",
        "command": ["/bin/server"],
        "args": ["--port=8080", "--verbose"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
        "env": [
            {"name": "MODE", "value": "production"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "0.5", "memory": "256Mi"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app", "readOnly": True},
            {"name": "data", "mountPath": "/data"},
        ],
        "livenessProbe": dict(probe),
        "readinessProbe": dict(probe),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    side = {"name": "sidecar", "image": "registry.example.com/team/sidecar:0.9"}
    toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web-7d4b9c6f5d",
        "uid": "6f1c2f1e-aaaa-bbbb-cccc-1234567890ac",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-7d4b9c6f5d-abcde",
            "namespace": "default",
            "labels": LABELS,
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            "ownerReferences": [owner],
        },
        "spec": {
            "serviceAccountName": "default",
            "containers": [app, side],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}, {"name": "data", "emptyDir": {}}],
            "tolerations": [
                {"key": f"node.kubernetes.io/{name}", **toleration} for name in ("not-ready", "unreachable")
            ],
        },
    }


def measure(name: str, call: Callable[[], object], *, less: float = 0.0) -> float:
    """Print and return the microseconds of one call, without `less` of preparation."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - begun) / CALLS * 1e6)
    print(f"{name}: {best - less:.1f} us", flush=True)
    return best


def main() -> int:
    body = msgspec.json.encode(pod())
    node = schema.node("io.k8s.api.core.v1.Pod")
    strategy = STRATEGIES["", "pods"]
    received, stored = decode_json(body), decode_json(body)
    strategy.default(stored)
    strategy.prepare_create(stored)
    path = Path()

    def new() -> dict[str, Any]:
        obj = decode_json(body)
        strategy.default(obj)
        strategy.prepare_create(obj)
        return obj

    def faults() -> list[object]:
        meta = metadata.validate(stored["metadata"], True, strategy.name_rule, Path("metadata"))
        return [*meta, *strategy.validate(stored, path)]

    print(f"Pod: {len(body)} bytes")
    decoding = measure("decode JSON", lambda: decode_json(body))
    measure("find repeated keys", lambda: duplicate_keys(body, received))
    measure("check against the schema", lambda: check(decode_json(body), node), less=decoding)
    measure("default and prepare", new, less=decoding)
    measure("validate, metadata included", faults)
    image = {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}
    measure("strategic merge patch of an image", lambda: strategic(stored, image, node))
    selector = parse_labels("app=web,tier in (frontend,backend),!legacy")
    measure("match a label selector of three terms", lambda: selector.matches(LABELS))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a POST costs by kind, between the body and the store: reading, defaulting, validating, warning.

    python -m tests.bench.kinds [KIND…]

Microseconds of CPU for one object, medians of ROUNDS rounds of OBJECTS objects with names of their own. Pods
are as admission leaves them: with tolerations, a token's volume, and mounts of it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from kplane.api.decode import decode_json
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, builtin
from kplane.apiserver.auth.user import User
from kplane.apiserver.http.call import Call
from kplane.apiserver.http.decoding import read_object
from kplane.apiserver.http.requestinfo import RequestInfo
from kplane.apiserver.registry import faults, metadata
from kplane.apiserver.registry.strategies import STRATEGIES

from .apiserver import pod
from .values import pod as rich_pod

ROUNDS, OBJECTS = 31, 100
NOW = "2026-01-01T00:00:00Z"
_T = TypeVar("_T")


def admitted(obj: Object) -> Object:
    """The Pod with what the plug-ins of admission give every Pod."""
    spec, volume = obj["spec"], f"kube-api-access-{obj['metadata']['name'][-5:]}"
    mount = {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    for container in spec["containers"]:
        container.setdefault("volumeMounts", []).append(mount)
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources: list[Object] = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    projected = {"name": volume, "projected": {"sources": sources, "defaultMode": 420}}
    spec.setdefault("volumes", []).append(projected)
    tolerated = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    spec["tolerations"] = [
        {"key": f"node.kubernetes.io/{name}", **tolerated} for name in ("not-ready", "unreachable")
    ]
    spec["serviceAccountName"], spec["priority"], spec["preemptionPolicy"] = (
        "default",
        0,
        "PreemptLowerPriority",
    )
    return obj


def _rich(name: str) -> Object:
    obj = rich_pod()
    obj["metadata"]["name"] = name
    return obj


def _large(name: str) -> Object:
    """A Pod of twenty containers."""
    obj = _rich(name)
    app = obj["spec"]["containers"][0]
    obj["spec"]["containers"] = [{**app, "name": f"app-{number}"} for number in range(20)]
    for number, container in enumerate(obj["spec"]["containers"]):
        container["volumeMounts"] = list(container["volumeMounts"])
        container["ports"] = [{"containerPort": 8080 + number}]
    return obj


def _template(name: str, **spec: Any) -> Object:
    made = _rich(name)
    return {"metadata": {"labels": made["metadata"]["labels"]}, "spec": {**made["spec"], **spec}}


def _workload(api_version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _deployment(name: str) -> Object:
    template = _template(name)
    selector = {"matchLabels": template["metadata"]["labels"]}
    spec = {"replicas": 3, "selector": selector, "template": template}
    return _workload("apps/v1", "Deployment", name, spec)


def _job(name: str) -> Object:
    spec = {"backoffLimit": 2, "template": _template(name, restartPolicy="Never")}
    return _workload("batch/v1", "Job", name, spec)


def _service(name: str) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9090}]
    return _workload("v1", "Service", name, {"selector": {"app": "web"}, "ports": ports})


def _config_map(name: str) -> Object:
    data = {f"key-{number}": "value " * 20 for number in range(20)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _unlike(name: str) -> Object:
    """A Pod whose container is like none before."""
    obj = pod(name)
    obj["spec"]["containers"][0]["env"].append({"name": "OWN", "value": name})
    return obj


def _null(name: str) -> Object:
    """A Pod with a field that reading has to drop."""
    obj = pod(name)
    obj["metadata"]["creationTimestamp"] = None
    return obj


KINDS: dict[str, tuple[str, str, Callable[[str], Object]]] = {
    "pod": ("", "pods", lambda name: admitted(pod(name))),
    "pod-as-python-sends-it": ("", "pods", lambda name: admitted(pod(name))),
    "pod-with-null": ("", "pods", lambda name: admitted(_null(name))),
    "pod-unlike-others": ("", "pods", lambda name: admitted(_unlike(name))),
    "pod-of-replicaset": ("", "pods", lambda name: admitted(_rich(name))),
    "pod-of-20": ("", "pods", lambda name: admitted(_large(name))),
    "deployment": ("apps", "deployments", _deployment),
    "job": ("batch", "jobs", _job),
    "service": ("", "services", _service),
    "configmap": ("", "configmaps", _config_map),
}


def _call(body: bytes) -> Call:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    info = RequestInfo(verb="create", path="/", method="POST", query={})
    return Call({}, receive, info, {b"content-type": b"application/json"}, User("bench"))


def timed(call: Callable[[_T], object], arguments: Sequence[_T]) -> float:
    began = time.process_time()
    for argument in arguments:
        call(argument)
    return (time.process_time() - began) / len(arguments) * 1e6


class Stages:
    """Of one kind."""

    def __init__(self, row: ResourceInfo, make: Callable[[str], Object], *, spaced: bool) -> None:
        self._row, self._make, self._spaced = row, make, spaced
        self._strategy = STRATEGIES[row.group, row.plural]

    async def run(self, turn: int) -> dict[str, float]:
        named = [self._make(f"web-7d4b9c6f5d-{turn:03}{number:02}") for number in range(OBJECTS)]
        bodies = [msgspec.json.encode(obj) for obj in named]
        if self._spaced:
            bodies = [json.dumps(msgspec.json.decode(body)).encode() for body in bodies]
        objects = [decode_json(body) for body in bodies]
        for obj in objects:
            metadata.bind_namespace(obj, "default" if self._row.namespaced else "")
        spent = {"default": timed(self._strategy.default, objects)}
        for number, obj in enumerate(objects):
            metadata.initialise(obj, f"6f1c2f1e-aaaa-bbbb-cccc-{turn:06}{number:06}", NOW)
        spent["prepare"] = timed(self._strategy.prepare_create, objects)
        spent["validate"] = timed(self._validate, objects)
        spent["warn"] = timed(self._warn, objects)
        began = time.process_time()
        for body in bodies:
            await read_object(_call(body), self._row, "CreateOptions")
        return {"read": (time.process_time() - began) / OBJECTS * 1e6, **spent}

    def _validate(self, obj: Object) -> None:
        found = [*faults.of_new(obj, self._row, self._strategy)]
        assert not found, found

    def _warn(self, obj: Object) -> None:
        assert not [*self._strategy.early_warnings(obj), *self._strategy.warnings(obj)]


def rows() -> Iterator[tuple[str, Stages]]:
    scheme = builtin()
    for name in sys.argv[1:] or KINDS:
        group, plural, make = KINDS[name]
        row = scheme.by_path(group, "v1", plural)
        assert row is not None
        yield name, Stages(row, make, spaced="python" in name)


async def run() -> None:
    for name, stages in rows():
        await stages.run(0)
        turns = [await stages.run(turn) for turn in range(1, ROUNDS + 1)]
        figures = ", ".join(
            f"{part} {statistics.median(turn[part] for turn in turns):.1f}" for part in turns[0]
        )
        print(f"{name}: {figures} us", flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

"""NodeMetrics and PodMetrics as they are served, and as Tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from kplane.api.clock import rfc3339
from kplane.api.quantity import add, canonical
from kplane.api.resource import Object
from kplane.api.types import Node

from .exposition import ContainerKey
from .usage import Usage, Use
from .views import Pod


class Viewer:
    """What is known now, as objects without a kind: they are the same in every version."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def pod(self, pod: Pod, now: datetime) -> Object | None:
        """None while one of its containers is not known."""
        parts = self._parts(pod)
        if not parts:
            return None
        uses = list(parts.values())
        metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace}
        return {
            "metadata": _metadata(metadata, pod.metadata.labels, now),
            **_moment(uses),
            "containers": [{"name": name, "usage": _usage(use)} for name, use in parts.items()],
        }

    def node(self, node: Node, pods: Iterable[Pod], now: datetime) -> Object | None:
        """`pods` are those on it: what they use together is what a hollow node uses."""
        use = self._usage.node(node.metadata.name) or self._sum(pods)
        if use is None:
            return None
        return {
            "metadata": _metadata({"name": node.metadata.name}, node.metadata.labels, now),
            **_moment([use]),
            "usage": _usage(use),
        }

    def _parts(self, pod: Pod) -> dict[str, Use]:
        if pod.status.phase != "Running":
            return {}
        meta = pod.metadata
        found = {
            name: self._usage.container(ContainerKey(meta.namespace, meta.name, name))
            for name in pod.measured
        }
        known = {name: use for name, use in found.items() if use is not None}
        return known if len(known) == len(found) else {}

    def _sum(self, pods: Iterable[Pod]) -> Use | None:
        uses = [use for pod in pods for use in self._parts(pod).values()]
        if not uses:
            return None
        newest = max(uses, key=lambda use: use.at)
        return Use(sum(use.cpu for use in uses), sum(use.memory for use in uses), newest.at, newest.window)


def _metadata(metadata: Object, labels: Mapping[str, str], now: datetime) -> Object:
    made = metadata | {"creationTimestamp": rfc3339(now)}
    return made | {"labels": dict(labels)} if labels else made


def _moment(uses: Sequence[Use]) -> Object:
    """When, and over how long: of the containers measured first."""
    first = min(uses, key=lambda use: use.at)
    return {"timestamp": rfc3339(datetime.fromtimestamp(first.at, UTC)), "window": duration(first.window)}


def _usage(use: Use) -> Object:
    return {"cpu": canonical(f"{round(use.cpu * 1e9)}n"), "memory": _bytes(use.memory)}


def _bytes(amount: int) -> str:
    return canonical(f"{amount // 1024}Ki") if amount % 1024 == 0 else str(amount)


def duration(seconds: float) -> str:
    """As Go writes it, to the millisecond: `15.053s`, `1m0s`."""
    minutes, rest = divmod(round(seconds, 3), 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


COLUMNS = ("Name", "cpu", "memory", "Window")


def table(items: Sequence[Object], resource_version: str = "") -> Object:
    """meta.k8s.io/v1 Table."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": resource_version} if resource_version else {},
        "columnDefinitions": [
            {
                "name": name,
                "type": "string",
                "format": "name" if name == "Name" else "quantity" if name != "Window" else "duration",
                "description": "",
                "priority": 0,
            }
            for name in COLUMNS
        ],
        "rows": [_row(item) for item in items],
    }


def _row(item: Object) -> Object:
    usage = item.get("usage") or _total(item["containers"])
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}
    cells = [item["metadata"]["name"], usage["cpu"], usage["memory"], item["window"]]
    return {"cells": cells, "object": partial}


def _total(containers: Sequence[Object]) -> Object:
    total: Object = containers[0]["usage"]
    for container in containers[1:]:
        total = {name: add(value, container["usage"][name]) for name, value in total.items()}
    return total

"""One metric of an autoscaler's spec: its value now, and the replicas that it asks for.

Reads the metrics APIs (metrics.py). Texts: upstream's `horizontal.go`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from kplane.api.quantity import from_milli, milli
from kplane.api.resource import Object, Resource
from kplane.api.selectors import SelectorError, from_label_selector
from kplane.api.types import LabelSelector, Pod

from ..selectortext import shown_selector
from .metrics import Metrics
from .usage import (
    Delays,
    NoReplicas,
    PodsTarget,
    Tolerances,
    Usage,
    pods_replicas,
    share_replicas,
    value_replicas,
)


@dataclass(frozen=True)
class Situation:
    """What all metrics of an autoscaler are judged by."""

    namespace: str
    wanted: int
    """`spec.replicas` of the scale."""
    running: int
    """`status.replicas` of the scale."""
    selector: str
    pods: Sequence[Pod]
    tolerances: Tolerances
    delays: Delays
    now: datetime


@dataclass(frozen=True)
class Proposal:
    replicas: int
    name: str
    status: Object


class Unusable(Exception):
    """A metric from which nothing follows. `why`: for the condition; the text: for the sum of all metrics."""

    def __init__(self, reason: str, why: str, text: str, fault: str = "internal") -> None:
        super().__init__(text)
        self.fault = fault
        self.reason = reason
        self.why = why


Find = Callable[[str, str], Awaitable[Resource[Any]]]
"""API version and kind -> the resource. Raises NoReplicas."""


class Proposals:
    def __init__(self, metrics: Metrics, find: Find) -> None:
        self._metrics = metrics
        self._find = find
        self._kinds = {
            "Resource": (self._resource, "FailedGetResourceMetric"),
            "ContainerResource": (self._container, "FailedGetContainerResourceMetric"),
            "Pods": (self._pods, "FailedGetPodsMetric"),
            "Object": (self._object, "FailedGetObjectMetric"),
            "External": (self._external, "FailedGetExternalMetric"),
        }

    async def propose(self, spec: Object, where: Situation) -> Proposal:
        """Raises Unusable."""
        kind = spec.get("type", "")
        if kind not in self._kinds:
            text = f'unknown metric source type "{kind}"'
            raise Unusable("InvalidMetricSourceType", text, text, fault="spec")
        ask, reason = self._kinds[kind]
        source = spec.get(kind[0].lower() + kind[1:]) or {}
        try:
            return await ask(source, where)
        except NoReplicas as error:
            raise Unusable(reason, str(error), _summary(kind, source, str(error))) from error

    async def _resource(self, source: Object, where: Situation) -> Proposal:
        usage, name = await self._usage(source, where, "")
        return Proposal(usage.replicas, name, _status("Resource", {"name": source["name"]}, _current(usage)))

    async def _container(self, source: Object, where: Situation) -> Proposal:
        container = source.get("container", "")
        usage, name = await self._usage(source, where, container)
        named = {"name": source["name"], "container": container}
        return Proposal(usage.replicas, name, _status("ContainerResource", named, _current(usage)))

    async def _usage(self, source: Object, where: Situation, container: str) -> tuple[Usage, str]:
        resource, target = source["name"], source["target"]
        average = target.get("averageValue")
        # Upstream names the container only where the target is a share of its request.
        noun = f"{resource} container resource" if container and average is None else f"{resource} resource"
        utilization = target.get("averageUtilization")
        what = "usage" if average is not None else "utilization"
        if average is None and utilization is None:
            raise NoReplicas(
                "invalid resource metric source: neither an average utilization target nor an average value "
                "(usage) target was set"
            )
        try:
            samples = await self._resource_samples(resource, where, container)
            if average is not None:
                pods_target = PodsTarget(milli(average), resource)
            else:
                pods_target = PodsTarget(int(utilization), resource, True, container)
                noun += " utilization (percentage of request)"
            usage = _pods(where, samples, pods_target)
        except NoReplicas as error:
            raise NoReplicas(f"failed to get {resource} {what}: {error}") from error
        return usage, noun

    async def _resource_samples(self, resource: str, where: Situation, container: str) -> dict[str, Any]:
        try:
            return await self._metrics.resource(resource, where.namespace, where.selector, container)
        except NoReplicas as error:
            raise NoReplicas(f"unable to get metrics for resource {resource}: {error}") from error

    async def _pods(self, source: Object, where: Situation) -> Proposal:
        metric = source["metric"]
        name = metric["name"]
        try:
            samples = await self._metrics.pods(name, where.namespace, where.selector, _text(metric))
        except NoReplicas as error:
            raise NoReplicas(f"unable to get metric {name}: {error}") from error
        usage = _pods(where, samples, PodsTarget(milli(source["target"]["averageValue"])))
        current = {"averageValue": from_milli(usage.average)}
        return Proposal(usage.replicas, f"pods metric {name}", _status("Pods", {"metric": metric}, current))

    async def _object(self, source: Object, where: Situation) -> Proposal:
        metric, described, target = source["metric"], source["describedObject"], source["target"]
        name = metric["name"]
        try:
            resource = await self._find(described.get("apiVersion", ""), described["kind"])
            value = await self._metrics.of_object(
                name, where.namespace, resource, described["name"], _text(metric)
            )
        except NoReplicas as error:
            place = f"{described['kind']} {where.namespace}/{described['name']}"
            raise NoReplicas(f"unable to get metric {name} on {place}: {error}") from error
        replicas, current = _shared(value, target, where, "object")
        status = _status("Object", {"metric": metric, "describedObject": described}, current)
        return Proposal(replicas, f"{described['kind']} metric {name}", status)

    async def _external(self, source: Object, where: Situation) -> Proposal:
        metric = source["metric"]
        name = metric["name"]
        try:
            value = await self._metrics.external(name, where.namespace, _text(metric))
        except NoReplicas as error:
            shown = f"{where.namespace}/{name}/{_shown(metric)}"
            raise NoReplicas(f"unable to get external metric {shown}: {error}") from error
        replicas, current = _shared(value, source["target"], where, "external")
        status = _status("External", {"metric": metric}, current)
        return Proposal(replicas, f"external metric {name}({_shown(metric)})", status)


def _pods(where: Situation, samples: dict[str, Any], target: PodsTarget) -> Usage:
    return pods_replicas(where.wanted, where.pods, samples, target, where.tolerances, where.delays, where.now)


def _shared(value: int, target: Object, where: Situation, kind: str) -> tuple[int, Object]:
    """Replicas for one value that all Pods share, and what the status says of it."""
    average, whole = target.get("averageValue"), target.get("value")
    if average is not None:
        replicas, share = share_replicas(where.running, value, milli(average), where.tolerances)
        return replicas, {"averageValue": from_milli(share)}
    if whole is not None:
        replicas = value_replicas(where.wanted, where.pods, value, milli(whole), where.tolerances)
        return replicas, {"value": from_milli(value)}
    raise NoReplicas(
        f"invalid {kind} metric source: neither a value target nor an average value target was set"
    )


def _current(usage: Usage) -> Object:
    current: Object = {"averageValue": from_milli(usage.average)}
    if usage.utilization is not None:
        current["averageUtilization"] = usage.utilization
    return current


def _status(kind: str, named: Object, current: Object) -> Object:
    return {"type": kind, kind[0].lower() + kind[1:]: named | {"current": current}}


def _shown(metric: Object) -> str:
    """A metric's selector as messages show it."""
    selector = metric.get("selector")
    return shown_selector(None if selector is None else msgspec.convert(selector, LabelSelector))


def _text(metric: Object) -> str:
    """A metric's selector as the APIs take it; empty for all series. Raises NoReplicas."""
    if not metric.get("selector"):
        return ""
    try:
        return str(from_label_selector(metric["selector"]))
    except SelectorError as error:
        raise NoReplicas(str(error)) from error


def _summary(kind: str, source: Object, why: str) -> str:
    """How the sum of all metrics tells of this one."""
    name = source.get("name") or (source.get("metric") or {}).get("name", "")
    shared = "averageValue" in (source.get("target") or {})
    if kind == "Resource":
        return f"failed to get {name} resource metric value: {why}"
    if kind == "ContainerResource":
        return f"failed to get {source.get('container')} container metric value: {why}"
    if kind == "External":
        inner = f"failed to get {name} external metric" if shared else f"failed to get external metric {name}"
        return f"failed to get {name} external metric value: {inner}: {why}"
    if kind == "Object" and shared:
        why = f"failed to get {name} object metric: {why}"
    return f"failed to get {kind.lower()} metric value: {why}"

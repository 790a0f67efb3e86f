"""Clients of the metrics APIs: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

Reads through the API server, which hands on to whoever serves them. Values are thousandths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from kplane.api.errors import ApiError
from kplane.api.quantity import QuantityError, milli
from kplane.api.resource import Object, Resource
from kplane.client.rest import Client

from .usage import MINUTE, NoReplicas, Sample

RESOURCE_API = "/apis/metrics.k8s.io/v1beta1"
EXTERNAL_API = "/apis/external.metrics.k8s.io/v1beta1"
CUSTOM_GROUP = "/apis/custom.metrics.k8s.io"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Metrics:
    """Each call raises NoReplicas, worded as upstream words it, where nothing usable came."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(
        self, resource: str, namespace: str, selector: str, container: str = ""
    ) -> dict[str, Sample]:
        """Usage by name of Pod: of a container, or of all of them together."""
        items = await self._items(
            "resource", f"{RESOURCE_API}/namespaces/{namespace}/pods", {"labelSelector": selector}
        )
        samples: dict[str, Sample] = {}
        for item in items:
            name = _name(item, "metadata")
            usage = _usage(item, resource, container)
            if usage is not None:
                window = _seconds(str(item.get("window", "")))
                samples[name] = Sample(usage, _time(item), window)
        return samples

    async def pods(
        self, metric: str, namespace: str, selector: str, metric_selector: str
    ) -> dict[str, Sample]:
        """A metric of each Pod, by name."""
        base = await self._custom()
        path = f"{base}/namespaces/{namespace}/pods/*/{quote(metric)}"
        items = await self._items("custom", path, _selectors(selector, metric_selector))
        return {_name(item, "describedObject"): Sample(_value(item), _time(item)) for item in items}

    async def of_object(
        self, metric: str, namespace: str, resource: Resource[Any], name: str, metric_selector: str
    ) -> int:
        """A metric of one object."""
        base = await self._custom()
        plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        path = f"{base}/namespaces/{namespace}/{plural}/{quote(name)}/{quote(metric)}"
        if resource.plural == "namespaces" and not resource.group:
            path = f"{base}/namespaces/{quote(name)}/metrics/{quote(metric)}"
        items = await self._items("custom", path, _selectors("", metric_selector))
        return _value(items[0])

    async def external(self, metric: str, namespace: str, selector: str) -> int:
        """The sum of all values of a metric that has nothing to do with the cluster."""
        path = f"{EXTERNAL_API}/namespaces/{namespace}/{quote(metric)}"
        items = await self._items("external", path, _selectors(selector, ""))
        return sum(_value(item) for item in items)

    async def _custom(self) -> str:
        """The newest version of the custom metrics API that is served."""
        try:
            group = _object(await self._client.raw("GET", CUSTOM_GROUP))
        except ApiError as error:
            raise _unable("custom", error) from error
        preferred = (group.get("preferredVersion") or {}).get("version") or "v1beta1"
        return f"{CUSTOM_GROUP}/{preferred}"

    async def _items(self, api: str, path: str, query: Mapping[str, str]) -> list[Object]:
        try:
            body = _object(await self._client.raw("GET", path, query=query))
        except ApiError as error:
            raise _unable(api, error) from error
        items = body.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items) or not items:
            raise NoReplicas(f"no metrics returned from {api} metrics API")
        return items


def _unable(api: str, error: Exception) -> NoReplicas:
    return NoReplicas(f"unable to fetch metrics from {api} metrics API: {error}")


def _selectors(selector: str, metric_selector: str) -> dict[str, str]:
    both = {"labelSelector": selector, "metricLabelSelector": metric_selector}
    return {name: text for name, text in both.items() if text}


def _object(body: bytes) -> Object:
    """What another server sent; nonsense is no answer."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _name(item: Object, field: str) -> str:
    described = item.get(field)
    return str(described.get("name", "")) if isinstance(described, dict) else ""


def _usage(item: Object, resource: str, container: str) -> int | None:
    """None where the Pod, as a whole, or the container has no such usage."""
    containers = [entry for entry in item.get("containers") or () if isinstance(entry, dict)]
    if container:
        containers = [entry for entry in containers if entry.get("name") == container]
    if not containers or any(resource not in (entry.get("usage") or {}) for entry in containers):
        return None
    return sum(_milli(entry["usage"][resource]) for entry in containers)


def _value(item: Object) -> int:
    return _milli(item.get("value", 0))


def _milli(quantity: Any) -> int:
    try:
        return milli(quantity)
    except QuantityError as error:
        raise NoReplicas(f"metric is not a quantity: {error}") from error


def _time(item: Object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(item.get("timestamp", "")))
    except ValueError:
        return None


def _seconds(text: str) -> timedelta:
    parts = _DURATION.findall(text)
    return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in parts)) if parts else MINUTE

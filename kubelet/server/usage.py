"""`/metrics/resource` and `/stats/summary`: what Pods and the node use, in upstream's forms.

Source: the kubelet's resource metrics endpoint (KEP-727) and its Summary API (v1alpha1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object

from ..runtime.interface import RuntimeFailure
from ..usage import NANOSECONDS, Amount, ContainerUsage, PodUsage, Usage

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_CPU, _MEMORY = (
    "Cumulative cpu time consumed by the {} in core-seconds",
    "Current working set of the {} in bytes",
)
_HELP = {
    **{
        f"{what}_cpu_usage_seconds_total": ("counter", _CPU.format(what))
        for what in ("container", "node", "pod")
    },
    **{
        f"{what}_memory_working_set_bytes": ("gauge", _MEMORY.format(what))
        for what in ("container", "node", "pod")
    },
    "container_start_time_seconds": ("gauge", "Start time of the container since unix epoch in seconds"),
    "resource_scrape_error": (
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    ),
}


@dataclass(frozen=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float
    milliseconds: int | None = None


async def resource_metrics(usage: Usage) -> bytes:
    """The exposition text of `/metrics/resource`."""
    try:
        samples = [sample for entry in await usage.pods() for sample in _of_pod(entry)]
        failed = 0
    except RuntimeFailure:
        samples, failed = [], 1
    if (node := usage.node()) is not None:
        samples += _of("node", {}, node[1])
    samples.append(Sample("resource_scrape_error", {}, failed))
    return _text(samples).encode()


def _of_pod(entry: PodUsage) -> Iterator[Sample]:
    meta = entry.pod.metadata
    pod = {"namespace": meta.namespace, "pod": meta.name}
    for container in entry.containers:
        labels = {"container": container.name, **pod}
        yield from _of("container", labels, container.amount)
        if container.started is not None:
            yield Sample("container_start_time_seconds", labels, container.started.timestamp())
    if (total := entry.total) is not None:
        yield from _of("pod", pod, total)


def _of(what: str, labels: Mapping[str, str], amount: Amount) -> Iterator[Sample]:
    at = amount.at // 1_000_000
    yield Sample(f"{what}_cpu_usage_seconds_total", labels, amount.cpu / NANOSECONDS, at)
    yield Sample(f"{what}_memory_working_set_bytes", labels, amount.working_set, at)


def _text(samples: list[Sample]) -> str:
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, found in sorted(by_name.items()):
        kind, help_text = _HELP[name]
        lines += [f"# HELP {name} [STABLE] {help_text}", f"# TYPE {name} {kind}"]
        lines += [_line(sample) for sample in found]
    return "\n".join(lines) + "\n"


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
    name = f"{sample.name}{{{labels}}}" if labels else sample.name
    at = "" if sample.milliseconds is None else f" {sample.milliseconds}"
    return f"{name} {sample.value!r}{at}"


async def summary(usage: Usage) -> Object:
    """The body of `/stats/summary`. Raises RuntimeFailure."""
    body: Object = {"pods": [_summary_of(entry) for entry in await usage.pods() if entry.containers]}
    if (node := usage.node()) is not None:
        body = {"node": {"nodeName": node[0], **_figures(node[1])}, **body}
    return body


def _summary_of(entry: PodUsage) -> Object:
    meta = entry.pod.metadata
    reference = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
    total = entry.total
    return {
        "podRef": reference,
        "startTime": entry.pod.status.get("startTime"),
        "containers": [_container_summary(container) for container in entry.containers],
        **(_figures(total) if total is not None else {}),
    }


def _container_summary(container: ContainerUsage) -> Object:
    body: Object = {"name": container.name, **_figures(container.amount)}
    if container.started is not None:
        body["startTime"] = rfc3339(container.started)
    time = body["cpu"]["time"]
    return body | {"rootfs": {"time": time, "usedBytes": container.writable}}


def _figures(amount: Amount) -> Object:
    time = rfc3339(datetime.fromtimestamp(amount.at / NANOSECONDS, UTC))
    memory = {
        "time": time,
        "usageBytes": amount.memory,
        "workingSetBytes": amount.working_set,
        "rssBytes": amount.rss,
    }
    return {"cpu": {"time": time, "usageCoreNanoSeconds": amount.cpu}, "memory": memory}

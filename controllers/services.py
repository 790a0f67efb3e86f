"""Services and the Pods behind them: the rules that EndpointSlices and Endpoints share. No I/O.

Elsewhere: packing into slices (endpointslice/) and into subsets (endpoints.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from kplane.api.resource import Key
from kplane.api.types import Pod, Service
from kplane.api.types.core import ServicePort
from kplane.api.types.meta import condition
from kplane.client.informer import Informer
from kplane.client.workqueue import WorkQueue

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def has_endpoints(service: Service) -> bool:
    """Whether its endpoints are ours to keep; those of Services without a selector are their maker's."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip in ("None", "")


def selected(service: Service, pods: Iterable[Pod]) -> list[Pod]:
    """The Pods with all labels of the selector; a plain subset test, as this runs for every Pod change."""
    wanted = (service.spec.selector or {}).items()
    return [pod for pod in pods if wanted <= pod.metadata.labels.items()]


def belongs(pod: Pod, *, terminating_too: bool) -> bool:
    """Whether the Pod can be an endpoint: it has an address and has not run to its end."""
    if pod.terminal or not addresses(pod):
        return False
    return terminating_too or pod.metadata.deletion_timestamp is None


def addresses(pod: Pod) -> list[str]:
    """The Pod's addresses, of all families."""
    status = pod.status
    return [entry.ip for entry in status.pod_ips] or ([status.pod_ip] if status.pod_ip else [])


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """An address in whatever form older API servers let in; None for what is none.

    Numbers of an IPv4 address may begin with zeros, and one that is written as IPv6 belongs to IPv4.
    """
    if "%" in text:
        return None
    if ":" not in text:
        text = ".".join(part.lstrip("0") or part[:1] for part in text.split("."))
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


@lru_cache(maxsize=1 << 16)
def canonical(text: str) -> tuple[str, str] | None:
    """Family and form of an address, as the API takes it today. Every sync asks it of every Pod."""
    parsed = parse_ip(text)
    return None if parsed is None else (f"IPv{parsed.version}", str(parsed))


def family(address: str) -> str:
    """`IPv4` or `IPv6`."""
    return "IPv6" if ":" in address else "IPv4"


def target_port(pod: Pod, port: ServicePort) -> int | None:
    """The Pod's port behind a Service's port; None where no container has one of that name."""
    if not isinstance(port.target_port, str):
        return port.target_port or port.port
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for candidate in container.ports:
            if (candidate.name, candidate.protocol) == (port.target_port, port.protocol):
                return candidate.container_port
    return None


def hostname(pod: Pod, service: Service) -> str:
    """The name that DNS gives the Pod under this Service; empty for none."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


class Wakeups:
    """Wakes Services whose Pods change; each controller of endpoints has one.

    Changes of Pods are gathered for `period` seconds, so that many of them cost one look.
    """

    def __init__(
        self, queue: WorkQueue, services: Informer[Service], pods: Informer[Pod], period: float = 0
    ) -> None:
        self._queue = queue
        self._period = period
        self._services = services
        services.on_change(queue.wake)
        pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and _looks_same(old, new):
            return
        self.wake([pod for pod in (old, new) if pod is not None])

    def wake(self, pods: Sequence[Pod]) -> None:
        """Wake the Services behind which one of these Pods is."""
        by_namespace: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in pods:
            by_namespace[pod.metadata.namespace].append(pod)
        for namespace, members in by_namespace.items():
            self._wake(namespace, members)

    def _wake(self, namespace: str, pods: Sequence[Pod]) -> None:
        for service in self._services.list(namespace):
            if has_endpoints(service) and selected(service, pods):
                self._queue.add_after(service.key, self._period)


def _looks_same(old: Pod, new: Pod) -> bool:
    """Whether nothing changed that endpoints show."""
    return _shown(old) == _shown(new)


def _shown(pod: Pod) -> tuple[object, ...]:
    meta = pod.metadata
    return (
        meta.uid, meta.labels, meta.deletion_timestamp is None, pod.terminal, pod.ready, addresses(pod),
        pod.spec.node_name, pod.spec.hostname, pod.spec.subdomain,
    )  # fmt: skip


@dataclass
class _Seen:
    service: datetime | None = None
    pods: dict[str, datetime] = field(default_factory=dict)


class TriggerTimes:
    """When the oldest change happened that a sync of a Service brings in, for measuring programming latency.

    The first sync of a Service counts from its creation, whatever its Pods did. Kept in memory only.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}

    def observe(self, service: Service, pods: Sequence[Pod]) -> str | None:
        """The time since the last sync, in RFC 3339; None where nothing changed."""
        known = self._seen.get(service.key)
        before = known or _Seen()
        now = _Seen(service.metadata.creation_timestamp)
        changes: list[datetime] = []
        if now.service and (before.service is None or now.service > before.service):
            changes.append(now.service)
        for pod in pods:
            ready = condition(pod.status.conditions, "Ready")
            if ready is None or ready.last_transition_time is None:
                continue
            name, moment = pod.metadata.name, ready.last_transition_time
            now.pods[name] = moment
            if name not in before.pods or moment > before.pods[name]:
                changes.append(moment)
        self._seen[service.key] = now
        if known is None:
            changes = [now.service] if now.service else []
        return min(changes).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if changes else None

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)

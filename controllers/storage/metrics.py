"""Metrics of volumes and claims, under upstream's names: counted from the caches whenever somebody looks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.client.informer import Informer

DEFAULTED = Counter(
    "retroactive_storageclass_total",
    "Total number of retroactive StorageClass assignments to persistent volume claim",
)
NOT_DEFAULTED = Counter(
    "retroactive_storageclass_errors_total",
    "Total number of failed retroactive StorageClass assignments to persistent volume claim",
)


def plugin_name(volume: PersistentVolume) -> str:
    """As in-tree plug-ins are called; that of CSI says which driver."""
    spec = volume.spec
    if spec.csi is not None:
        return f"kubernetes.io/csi:{spec.csi.driver}"
    if spec.host_path is not None:
        return "kubernetes.io/host-path"
    if spec.local is not None:
        return "kubernetes.io/local-volume"
    return "kubernetes.io/nfs" if spec.nfs is not None else "N/A"


def _family(
    name: str, text: str, labels: Sequence[str], counted: Tally[tuple[str, ...]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"pv_collector_{name}", text, labels=labels)
    for values, number in counted.items():
        family.add_metric(values, number)
    return family


def _volume_families(volumes: Sequence[PersistentVolume]) -> Iterator[GaugeMetricFamily]:
    total = Tally((plugin_name(volume), volume.spec.volume_mode) for volume in volumes)
    bound = [volume for volume in volumes if volume.status.phase == "Bound"]
    free = [volume for volume in volumes if volume.status.phase != "Bound"]
    yield _family(
        "total_pv_count", "Gauge measuring total number of persistent volumes",
        ["plugin_name", "volume_mode"], Tally(total),
    )  # fmt: skip
    for kind, chosen in (("bound", bound), ("unbound", free)):
        yield _family(
            f"{kind}_pv_count", f"Gauge measuring number of persistent volume currently {kind}",
            ["storage_class"], Tally((volume.storage_class,) for volume in chosen),
        )  # fmt: skip


def _claim_families(claims: Sequence[PersistentVolumeClaim]) -> Iterator[GaugeMetricFamily]:
    for kind in ("bound", "unbound"):
        chosen = [claim for claim in claims if (claim.status.phase == "Bound") == (kind == "bound")]
        yield _family(
            f"{kind}_pvc_count", f"Gauge measuring number of persistent volume claim currently {kind}",
            ["namespace", "storage_class", "volume_attributes_class"],
            Tally(
                (claim.key.namespace, claim.storage_class, claim.spec.volume_attributes_class_name or "")
                for claim in chosen
            ),
        )  # fmt: skip


class VolumeCollector(Collector):
    """Of the binder that came last: a process that loses its leadership and wins it again has new caches."""

    def __init__(self) -> None:
        self._volumes: Informer[PersistentVolume] | None = None
        self._claims: Informer[PersistentVolumeClaim] | None = None

    def watch(self, volumes: Informer[PersistentVolume], claims: Informer[PersistentVolumeClaim]) -> None:
        self._volumes, self._claims = volumes, claims

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _volume_families(self._volumes.list() if self._volumes else ())
        yield from _claim_families(self._claims.list() if self._claims else ())


COLLECTOR = VolumeCollector()
REGISTRY.register(COLLECTOR)

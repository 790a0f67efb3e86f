"""What stands for the disk and the network of a hollow node; its runtime is `runtime/hollow.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from .handlers import Outcome
from .pod import Container, Pod
from .runtime.interface import Mount


class NoDisk:
    """Pods without folders, volumes, logs or cgroups: nothing is written, nothing can fail."""

    def prepare(self, pod: Pod) -> None:
        return

    async def set_up_volumes(self, pod: Pod, allocatable: Mapping[str, str]) -> dict[str, Path]:
        return {}

    def mounts(
        self,
        pod: Pod,
        container: Container,
        volumes: Mapping[str, Path],
        env: Mapping[str, str],
        ips: Sequence[str],
    ) -> list[Mount]:
        return []

    def message_file(self, pod: Pod, container: Container, attempt: int) -> str:
        return ""

    def release(self, uid: str) -> None:
        return

    def remove(self, uid: str) -> None:
        return

    def pod_uids(self) -> set[str]:
        return set()

    def renew_at(self, uid: str) -> datetime | None:
        return None

    def limit(self, pod: Pod, also: Pod) -> None:
        return

    def remember(self, uid: str, data: bytes) -> None:
        return

    def recall(self, uid: str) -> bytes | None:
        return None


class HollowNetwork:
    """Every pod answers every probe."""

    async def http(self, url: str, headers: Mapping[str, str], timeout: float) -> Outcome:
        return Outcome(True)

    async def tcp(self, host: str, port: int, timeout: float) -> Outcome:
        return Outcome(True)

    async def grpc(self, host: str, port: int, service: str, timeout: float) -> Outcome:
        return Outcome(True)

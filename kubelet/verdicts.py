"""What the probes say of each running container: a plain table that plan and status read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .pod import Container

Kind = Literal["startup", "readiness", "liveness"]


@dataclass
class Verdicts:
    """(container id, probe kind) -> passed. A kind without an entry has not spoken yet."""

    results: dict[tuple[str, str], bool] = field(default_factory=dict)

    def failed(self, container_id: str, kind: Kind) -> bool:
        return self.results.get((container_id, kind)) is False

    def started(self, container: Container, container_id: str) -> bool:
        """Without a startup probe, running is having started."""
        return container.startup_probe is None or self.results.get((container_id, "startup"), False)

    def ready(self, container: Container, container_id: str) -> bool:
        if not self.started(container, container_id):
            return False
        return container.readiness_probe is None or self.results.get((container_id, "readiness"), False)

    def forget(self, container_id: str) -> None:
        for key in [key for key in self.results if key[0] == container_id]:
            del self.results[key]

"""What an operator can say about auditing; defaults are upstream's."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kplane.runtime.process import Fatal


class Mode(StrEnum):
    """When events are written: gathered; before the request goes on; the same, and a request whose arrival
    cannot be recorded is refused."""

    BATCH = "batch"
    BLOCKING = "blocking"
    BLOCKING_STRICT = "blocking-strict"


FORMATS = ("legacy", "json")


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Of mode `batch`. Times are seconds; throttling counts batches."""

    buffer_size: int = 10000
    max_size: int = 1
    max_wait: float = 0.0
    throttle_enable: bool = False
    throttle_qps: float = 0.0
    throttle_burst: int = 0


@dataclass(frozen=True, kw_only=True)
class TruncateSettings:
    """Sizes are bytes."""

    enabled: bool = False
    max_batch_size: int = 10 * 1024 * 1024
    max_event_size: int = 100 * 1024


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """`path` `-` is standard output, empty no log. `maxage` is in days, `maxsize` in megabytes; 0 keeps
    backups for ever, or all of them, or 100 MB."""

    path: str = ""
    maxage: int = 0
    maxbackup: int = 0
    maxsize: int = 0
    format: str = "json"
    compress: bool = False
    mode: Mode = Mode.BLOCKING
    batch: BatchSettings = field(default_factory=BatchSettings)
    truncate: TruncateSettings = field(default_factory=TruncateSettings)


WEBHOOK_BATCH = BatchSettings(
    max_size=400, max_wait=30.0, throttle_enable=True, throttle_qps=10.0, throttle_burst=15
)


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    config_file: Path | None = None
    initial_backoff: float = 10.0
    mode: Mode = Mode.BATCH
    batch: BatchSettings = WEBHOOK_BATCH
    truncate: TruncateSettings = field(default_factory=TruncateSettings)


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    policy_file: Path | None = None
    log: LogSettings = field(default_factory=LogSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)

    @property
    def backends(self) -> bool:
        return bool(self.log.path) or self.webhook.config_file is not None

    def check(self) -> None:
        """Raises Fatal with the first fault."""
        if self.log.path:
            for name, value in (
                ("maxage", self.log.maxage),
                ("maxbackup", self.log.maxbackup),
                ("maxsize", self.log.maxsize),
            ):
                if value < 0:
                    raise Fatal(f"--audit-log-{name} {value} can't be a negative number")
            if self.log.format not in FORMATS:
                raise Fatal(
                    f'invalid audit log format {self.log.format}, allowed formats are "{",".join(FORMATS)}"'
                )
            _check_batch("log", self.log.mode, self.log.batch)
            _check_truncate("log", self.log.truncate)
        if self.webhook.config_file is not None:
            _check_batch("webhook", self.webhook.mode, self.webhook.batch)
            _check_truncate("webhook", self.webhook.truncate)


def _check_batch(name: str, mode: Mode, batch: BatchSettings) -> None:
    if mode is not Mode.BATCH:
        return
    said: list[tuple[str, float]] = [("buffer size", batch.buffer_size), ("max batch size", batch.max_size)]
    if batch.throttle_enable:
        said += [("throttle QPS", batch.throttle_qps), ("throttle burst", batch.throttle_burst)]
    for what, value in said:
        if value <= 0:
            raise Fatal(f"invalid audit batch {name} {what} {value:g}, must be a positive number")


def _check_truncate(name: str, truncate: TruncateSettings) -> None:
    event, batch = truncate.max_event_size, truncate.max_batch_size
    if event <= 0:
        raise Fatal(f"invalid audit truncate {name} max event size {event}, must be a positive number")
    if batch < event:
        raise Fatal(
            f"invalid audit truncate {name} max batch size {batch}, must be greater than "
            f"max event size ({event})"
        )

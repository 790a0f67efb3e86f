"""A log file that starts anew when it is full, and keeps so many backups for so many days.

`audit.log` becomes `audit-2026-01-02T15-04-05.000.log` (UTC), with `compress` `….log.gz`: the names and rules
of the library lumberjack, which upstream's log is written with.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kplane.api.clock import Clock

from .settings import LogSettings

MEGABYTE = 1024 * 1024
DEFAULT_SIZE = 100
_FORM = "%Y-%m-%dT%H-%M-%S.%f"


class RotatedFile:
    """Used by one thread at a time. All methods raise OSError."""

    def __init__(self, settings: LogSettings, clock: Clock) -> None:
        self.path = Path(settings.path)
        self._settings = settings
        self._limit = (settings.maxsize or DEFAULT_SIZE) * MEGABYTE
        self._clock = clock
        self._descriptor = -1
        self._size = 0

    def open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._tidy()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, lines: Sequence[bytes]) -> None:
        """As many at once as fit into the file."""
        fitting: list[bytes] = []
        size = 0
        for line in lines:
            if self._size + size + len(line) > self._limit and self._size + size:
                self._append(fitting)
                self._rotate()
                fitting, size = [], 0
            fitting.append(line)
            size += len(line)
        self._append(fitting)

    def _append(self, lines: Sequence[bytes]) -> None:
        if self._descriptor < 0:
            self.open()
        data = memoryview(b"".join(lines))
        while data:
            count = os.write(self._descriptor, data)
            self._size += count
            data = data[count:]

    def _rotate(self) -> None:
        self.close()
        stamp = self._clock.now().astimezone(UTC).strftime(_FORM)[:-3]
        self.path.rename(self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}"))
        self.open()

    def _tidy(self) -> None:
        """Compress backups, and remove those that are too many or too old."""
        backups = sorted(self._backups(), reverse=True)
        settings = self._settings
        if settings.maxbackup:
            for _, path in backups[settings.maxbackup :]:
                path.unlink(missing_ok=True)
            backups = backups[: settings.maxbackup]
        if settings.maxage:
            oldest = self._clock.now() - timedelta(days=settings.maxage)
            for moment, path in backups:
                if moment < oldest:
                    path.unlink(missing_ok=True)
            backups = [each for each in backups if each[0] >= oldest]
        if settings.compress:
            for _, path in backups:
                if path.suffix != ".gz":
                    _compress(path)

    def _backups(self) -> Iterator[tuple[datetime, Path]]:
        prefix, suffix = f"{self.path.stem}-", self.path.suffix
        for path in self.path.parent.iterdir():
            name = path.name.removesuffix(".gz")
            if not name.startswith(prefix) or not name.endswith(suffix):
                continue
            stamp = name[len(prefix) : len(name) - len(suffix)]
            try:
                yield datetime.strptime(stamp, _FORM).replace(tzinfo=UTC), path
            except ValueError:
                continue  # Somebody else's file.


def _compress(path: Path) -> None:
    target = path.with_name(f"{path.name}.gz")
    descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, gzip.open(raw, "wb") as packed, path.open("rb") as plain:
        shutil.copyfileobj(plain, packed)
    path.unlink()

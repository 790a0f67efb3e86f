"""The log backend: one line for each event, into a file that is rotated, or to standard output.

A thread of its own writes, so that a slow disk does not hold up the event loop; lines that arrive meanwhile
go out together with the next write.

Invariant: a line is whole, and lies in one file. Files are readable by their owner alone (0600).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kplane.api.clock import Clock
from kplane.runtime.process import Fatal

from ..storage.background import Background
from .event import Event, encoded, legacy_line
from .rotation import RotatedFile
from .settings import LogSettings
from .sinks import BackendError

NAME = "log"


class LogBackend:
    name = NAME
    joins = True

    def __init__(self, settings: LogSettings, clock: Clock) -> None:
        self._form: Callable[[Event], bytes] = encoded if settings.format == "json" else _legacy
        self._file = None if settings.path == "-" else RotatedFile(settings, clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-log")
        self._pending: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        """Done once what is pending is written."""
        self._wanted = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, background: Background) -> None:
        if self._file is not None:
            try:
                self._file.open()
            except OSError as error:
                raise Fatal(f"--audit-log-path: cannot write {self._file.path}: {error.strerror}") from error
        self._task = background.start(self._run())

    def hurry(self) -> None:
        """A file makes no pauses."""

    async def close(self) -> None:
        self._closing = True
        self._wanted.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()

    async def write(self, events: Sequence[Event]) -> None:
        self._pending += [self._form(event) + b"\n" for event in events]
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            self._wanted.set()
        try:
            await asyncio.shield(self._written)
        except OSError as error:
            raise BackendError(error.strerror or type(error).__name__) from error

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            lines, done = self._pending, self._written
            self._pending, self._written = [], None
            if done is not None:
                try:
                    await loop.run_in_executor(self._thread, self._put, lines)
                except OSError as error:
                    done.set_exception(error)
                    # Whoever waited may have gone.
                    done.exception()
                else:
                    done.set_result(None)
            elif self._closing:
                return
            if self._closing:
                self._wanted.set()

    def _put(self, lines: Sequence[bytes]) -> None:
        if self._file is not None:
            self._file.write(lines)
            return
        out = sys.stdout.buffer
        out.write(b"".join(lines))
        out.flush()


def _legacy(event: Event) -> bytes:
    return legacy_line(event).encode(errors="replace")

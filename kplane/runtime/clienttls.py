"""A client's TLS settings, which follow the files of its certificate: a renewed one is shown in the next
handshake, without a restart, and the connections that are open stay.

The files are looked at whenever the settings are asked for, which costs microseconds. Files that cannot be
loaded, as in the middle of a renewal, change nothing until they can.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from kplane.runtime.process import Fatal

log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


def stamp(files: Sequence[Path]) -> Stamp | None:
    """Differs when a file was replaced or written; None while one is not there."""
    try:
        return tuple((found.st_mtime_ns, found.st_ino, found.st_size) for found in map(Path.stat, files))
    except OSError:
        return None


class FollowingTls:
    """`make` reads `files`, and raises Fatal where it cannot."""

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> None:
        """Raises Fatal."""
        self._make = make
        self._files = files
        # In this order: what changes in between is found the next time.
        self._stamp = stamp(files)
        self._current = make()
        self._complained: Stamp | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """For the next connection. A new object where the files have changed, so that pools tell the
        connections apart."""
        found = stamp(self._files)
        if found is None or found == self._stamp:
            return self._current
        try:
            self._current = self._make()
        except Fatal as fault:
            if found != self._complained:
                log.warning("%s; the former one stays in use", fault)
            self._complained = found
            return self._current
        self._stamp = found
        log.info("loaded a changed client certificate files=%s", ",".join(map(str, self._files)))
        return self._current

"""The lock on a data folder: one supervisor at a time, and the kernel forgets it when the supervisor dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kplane.runtime.process import Fatal

from .layout import Layout


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the data folder. Raises Fatal if another supervisor has it."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = file.read().strip() or "unknown"
            raise Fatal(
                f"a cluster is running in {layout.root} already (pid {holder}); stop it with `kplane down` "
                "or choose another --data-dir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def held(layout: Layout) -> bool:
    """Whether a supervisor has the data folder."""
    if not layout.lock.exists():
        return False
    with layout.lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

"""The thread in which commits wait for the disk.

It takes the interpreter lock once for each commit and does next to nothing with it: an executor's bookkeeping
takes as long as the write of an object, in both threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from queue import SimpleQueue
from threading import Thread

Commit = asyncio.Future[None]


class Committer:
    """Commits a connection's transactions, one at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._asked: SimpleQueue[Commit | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store-commit", daemon=True)
        self._thread.start()

    def commit(self) -> Commit:
        """Done when the transaction is on the disk. Raises sqlite3.Error."""
        done: Commit = asyncio.get_running_loop().create_future()
        self._asked.put(done)
        return done

    def close(self) -> None:
        """Wait for what was asked for."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (done := self._asked.get()) is not None:
            fault: Exception | None = None
            try:
                self._connection.commit()
            except (sqlite3.Error, MemoryError) as error:
                fault = error
            done.get_loop().call_soon_threadsafe(_settle, done, fault)


def _settle(done: Commit, fault: Exception | None) -> None:
    if done.done():
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)

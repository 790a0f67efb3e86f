"""Python's cycle collector, tuned for a server that keeps much and makes few cycles.

By default it walks everything that start-up has left in memory whenever enough has been made since: pauses
of 150 ms in the middle of requests. What is there once a server is ready stays there, so it is walked no
more; and younger objects are looked at in larger, rarer portions.
"""

from __future__ import annotations

import gc

YOUNG = 5_000
"""Objects that are made before the youngest are looked at: a pause of a few milliseconds."""
OLDER = 20
OLDEST = 100


STARTING = 200_000
"""The same while a process starts, which keeps nearly everything that it makes."""


def postpone() -> None:
    """Call this before the imports of a server that calls `settle` once it is ready."""
    gc.set_threshold(STARTING, OLDER, OLDEST)


def settle() -> None:
    """Call this once, when the process has everything that it keeps for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDEST)

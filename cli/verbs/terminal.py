"""The terminal or pipe in front of us: its input as it comes, its size, and raw mode with a way back."""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

CHUNK = 64 * 1024


@contextmanager
def raw_mode(descriptor: int) -> Iterator[None]:
    """Every key goes through as it is pressed, Ctrl-C too. What was set before is set again."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What arrives, until it ends."""
    while True:
        await _readable(descriptor)
        data = os.read(descriptor, CHUNK)
        if not data:
            return
        yield data


async def _readable(descriptor: int) -> None:
    """Until a read would not block; at once for files and /dev/null, which no event loop watches."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def note() -> None:
        # Just once: told again before the data has been read, we would read again, and block.
        loop.remove_reader(descriptor)
        if not ready.done():
            ready.set_result(None)

    try:
        loop.add_reader(descriptor, note)
    except PermissionError:
        return
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def sizes(descriptor: int) -> AsyncIterator[tuple[int, int]]:
    """Columns and rows: now, and whenever the window changes."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    changed.set()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            await changed.wait()
            changed.clear()
            yield os.get_terminal_size(descriptor)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)

"""Reading container logs in the CRI format: tail, since, limits, timestamps, and following as they grow.

A line of the file is `<RFC 3339 nanoseconds> <stdout|stderr> <F|P> <text>`; P marks a part whose line goes on
in the next. `limit` counts bytes of what is sent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asyncinotify import Inotify, Mask

BLOCK = 64 * 1024
LOOK_AGAIN = 1.0
"""Seconds after which a follower asks whether the container still runs, if its file does not change."""


@dataclass(frozen=True)
class LogOptions:
    """`since` is an RFC 3339 time in UTC, compared as text; `stream` is empty, `stdout` or `stderr`."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: str = ""
    limit: int | None = None
    stream: str = ""


class _Sink:
    """Turns lines of the file into what the reader asked for, until its limit."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit

    @property
    def full(self) -> bool:
        return self._left == 0

    def take(self, lines: Iterator[bytes]) -> bytes:
        out = b"".join(self._render(line) for line in lines)
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
        return out

    def _render(self, line: bytes) -> bytes:
        moment, _, rest = line.partition(b" ")
        stream, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        options = self._options
        if options.stream and stream != options.stream.encode():
            return b""
        if options.since and _comparable(moment) < _comparable(options.since.encode()):
            return b""
        end = b"" if tag.startswith(b"P") else b"\n"
        return (moment + b" " if options.timestamps else b"") + text + end


def _comparable(moment: bytes) -> bytes:
    """A UTC time in a form whose order as text is that of time."""
    seconds, _, fraction = moment.rstrip(b"Z").partition(b".")
    return seconds + b"." + fraction.ljust(9, b"0")


async def read_log(
    path: Path, options: LogOptions, running: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The log's text in chunks. With `follow` it goes on until the container has ended and all is read.

    Raises FileNotFoundError.
    """
    sink = _Sink(options)
    with path.open("rb") as file:
        if options.tail is not None:
            file.seek(tail_offset(file, options.tail))
        pending = b""
        if not options.follow:
            while not sink.full and (data := file.read(BLOCK)):
                lines, pending = _split(pending + data)
                yield sink.take(lines)
            return
        with Inotify() as watcher:
            watcher.add_watch(path, Mask.MODIFY | Mask.MOVE_SELF)
            alive = True
            while not sink.full:
                if data := file.read(BLOCK):
                    lines, pending = _split(pending + data)
                    yield sink.take(lines)
                elif not alive:
                    return
                else:
                    # Asked before waiting: what was written before the end is read once more.
                    alive = await running()
                    if alive:
                        await _changed(watcher)


async def _changed(watcher: Inotify) -> None:
    """Until the file changes, or it is time to ask again whether the container runs."""
    try:
        async with asyncio.timeout(LOOK_AGAIN):
            await watcher.get()
    except TimeoutError:
        return


def _split(data: bytes) -> tuple[Iterator[bytes], bytes]:
    """Whole lines without their ends, and the unfinished rest."""
    *lines, rest = data.split(b"\n")
    return iter(lines), rest


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of a file begin."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    found, place = 0, end
    while place > 0:
        start = max(0, place - BLOCK)
        file.seek(start)
        block = file.read(place - start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            # The newline at the very end closes the last line; it begins none.
            if start + at != end - 1:
                found += 1
                if found == lines:
                    return start + at + 1
        place = start
    return 0

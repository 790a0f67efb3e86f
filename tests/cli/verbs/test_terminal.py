"""Terminals and pipes as `exec` reads them."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import termios
from contextlib import aclosing
from pathlib import Path

from kplane.cli.verbs import terminal


async def test_keys_come_one_by_one_and_reading_never_blocks() -> None:
    ours, theirs = pty.openpty()
    try:
        with terminal.raw_mode(theirs):
            async with asyncio.timeout(30), aclosing(terminal.chunks(theirs)) as chunks:  # type: ignore[type-var]
                for key in (b"a", b"\x03", b"\r"):
                    os.write(ours, key)
                    assert await anext(chunks) == key
                waiting = asyncio.ensure_future(anext(chunks))
                done, _ = await asyncio.wait([waiting], timeout=0.05)
                assert not done
                os.write(ours, b"b")
                assert await waiting == b"b"
        assert termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
    finally:
        os.close(ours)
        os.close(theirs)


async def test_pipes_and_files_are_read_to_their_end(tmp_path: Path) -> None:
    there, here = os.pipe()
    os.write(here, b"piped")
    os.close(here)
    file = tmp_path / "input"
    file.write_bytes(b"x" * 100_000)

    with os.fdopen(there, "rb") as pipe, file.open("rb") as opened:
        assert b"".join([data async for data in terminal.chunks(pipe.fileno())]) == b"piped"
        assert len(b"".join([data async for data in terminal.chunks(opened.fileno())])) == 100_000


async def test_size_is_told_first_and_after_every_change() -> None:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (20, 80))
        async with asyncio.timeout(30), aclosing(terminal.sizes(theirs)) as sizes:  # type: ignore[type-var]
            assert tuple(await anext(sizes)) == (80, 20)
            termios.tcsetwinsize(theirs, (30, 90))
            os.kill(os.getpid(), signal.SIGWINCH)
            assert tuple(await anext(sizes)) == (90, 30)
    finally:
        os.close(ours)
        os.close(theirs)

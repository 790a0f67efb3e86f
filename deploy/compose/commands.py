"""Programs that the demo runs: their output, and their end if it is not the one expected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from kplane.runtime.process import Fatal


class Failed(Fatal):
    """The demo cannot go on; the message is for people."""


async def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, input: bytes = b"", seconds: float = 300
) -> str:
    """Standard output of a program that ends well. Raises Failed with what it said."""
    code, out, said = await attempt(argv, env=env, input=input, seconds=seconds)
    if code:
        raise Failed(f"{' '.join(argv)} ended with status {code}:\n{last_lines(said or out)}")
    return out


async def attempt(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, input: bytes = b"", seconds: float = 300
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error. Raises Failed if it is missing, or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env,
            stdin=asyncio.subprocess.PIPE if input else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Failed(f"{argv[0]} is missing: run deploy/compose/setup.sh") from error
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate(input or None)
    except TimeoutError as error:
        raise Failed(f"{' '.join(argv)} did not end within {seconds:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), said.decode(errors="replace")


def last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-count:])

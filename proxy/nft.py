"""Running `nft` and `conntrack`: argument lists, input through a pipe, errors in the program's words."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

SYSTEM_FOLDERS = "/usr/sbin:/sbin"
"""Where these programs are; an ordinary PATH leaves it out."""


class CommandFailed(Exception):
    """The program is missing or has refused; the message is its own."""


@dataclass(frozen=True)
class Commands:
    """Where to run them: `prefix` is put before each, such as `ip netns exec NAME`."""

    prefix: Sequence[str] = ()

    async def nft(self, script: str) -> None:
        """Apply a script as one transaction: all of it, or nothing. Raises CommandFailed."""
        await self.run(["nft", "-f", "-"], script)

    async def run(self, argv: Sequence[str], text: str = "") -> str:
        """The program's output. Raises CommandFailed."""
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), SYSTEM_FOLDERS])
        program = shutil.which(argv[0], path=path)
        if program is None:
            raise CommandFailed(f"{argv[0]} is not installed")
        # A file instead of a pipe: a program that ends before it has read all is no broken pipe to us.
        with tempfile.TemporaryFile() as source:
            source.write(text.encode())
            source.seek(0)
            process = await asyncio.create_subprocess_exec(
                *self.prefix, program, *argv[1:],
                stdin=source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        try:
            out, said = await process.communicate()
        except asyncio.CancelledError:
            # A transaction that has been handed over may end; nobody waits for it.
            await asyncio.shield(process.wait())
            raise
        if process.returncode:
            raise CommandFailed(said.decode(errors="replace").strip() or f"{argv[0]} failed")
        return out.decode(errors="replace")

"""kubectl as its users run it: over TLS, with the administrator's certificate."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

KUBECTL = Path(sys.executable).with_name("kubectl")


class Kubectl:
    def __init__(self, port: int, keys: Path, home: Path) -> None:
        self._flags = [
            f"--server=https://127.0.0.1:{port}",
            f"--certificate-authority={keys / 'ca.crt'}",
            f"--client-certificate={keys / 'admin.crt'}",
            f"--client-key={keys / 'admin.key'}",
            f"--cache-dir={home / 'cache'}",
        ]
        self._home = home

    async def __call__(self, *args: str, stdin: str = "", fails: bool = False) -> str:
        """What it prints; its complaint if it is meant to fail."""
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL), *self._flags, *args, env={"HOME": str(self._home), "PATH": os.defpath},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(stdin.encode())
        assert bool(process.returncode) is fails, err.decode()
        return (err if fails else out).decode()

    @asynccontextmanager
    async def proxying(self) -> AsyncIterator[str]:
        """`kubectl proxy` on a free port, while the block runs; its address."""
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL), *self._flags, "proxy", "--port=0",
            env={"HOME": str(self._home), "PATH": os.defpath}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            yield f"http://{line.rsplit(' ', 1)[1].strip()}"
        finally:
            process.terminate()
            await process.wait()

"""Container images for tests and demonstrations: busybox, from the machine's own static binary."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from kplane.runtime.oci import File, ImageConfig, archive

BUSYBOX = "localhost/busybox:1"
HELLO = "localhost/kplane/hello:1"


def busybox(name: str = BUSYBOX, extra: tuple[File, ...] = (), cmd: tuple[str, ...] = ("sh",)) -> bytes:
    """An OCI archive: busybox with all its commands in /bin, `/etc/passwd`, `/tmp`, and the `extra` files.

    Needs Debian's `busybox-static`. Raises FileNotFoundError where busybox is missing.
    """
    found = shutil.which("busybox")
    if found is None:
        raise FileNotFoundError("busybox is missing: install busybox-static")
    files = [
        File("bin/", mode=0o755),
        File("bin/busybox", Path(found).read_bytes(), 0o755),
        *(File(f"bin/{applet}", link="busybox") for applet in _applets(found) if applet != "busybox"),
        File("etc/", mode=0o755),
        File("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        File("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
        File("tmp/", mode=0o1777),
        File("root/", mode=0o700),
        *extra,
    ]
    return archive(name, files, ImageConfig(cmd=cmd, env={"PATH": "/bin"}))


def hello(name: str = HELLO) -> bytes:
    """The demonstration's application: an HTTP server on port 8080 that answers `$GREETING, $POD`.

    Its shell is process 1 and ends on SIGTERM; the server alone would have no handler, and a process 1
    without one outlives its whole grace period.
    """
    serve = (
        'mkdir -p /www; echo "$GREETING, $POD" >/www/index.html; trap "exit 0" TERM; echo started; '
        "httpd -f -p 8080 -h /www & wait"
    )
    return busybox(name, cmd=("sh", "-c", serve))


@cache
def _applets(binary: str) -> tuple[str, ...]:
    listed = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True)
    return tuple(listed.stdout.split())

"""The pause image: the process that holds a Pod's namespaces while its containers come and go.

The program is 150-odd bytes of machine code in an ELF frame, so that no compiler, download or package is
needed. It ignores SIGCHLD, which makes the kernel reap the orphans of a shared process namespace, and waits
for ever. SIGTERM does not end it: as process 1 it has no default action; runtimes kill it with SIGKILL.
"""

from __future__ import annotations

import platform
import struct

from kplane.runtime.oci import File, ImageConfig, archive

IMAGE = "localhost/pause:1"

_BASE = 0x400000
_HEADERS = 64 + 56

_IGNORE = struct.pack("<QQQQ", 1, 0, 0, 0)
"""The kernel's `struct sigaction` with SIG_IGN as handler."""

_ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


def image() -> bytes:
    """The OCI archive to import into a runtime; its name is IMAGE."""
    return archive(
        IMAGE, [File("pause", elf(), 0o755)], ImageConfig(entrypoint=("/pause",), user="65535:65535")
    )


def elf(machine: str = "") -> bytes:
    """A static executable for x86_64 or aarch64 (this machine's where empty)."""
    machine = machine or platform.machine()
    code = _x86_64() if machine == "x86_64" else _aarch64()
    body = code + _IGNORE
    size = _HEADERS + len(body)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, _ELF_MACHINE[machine], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + load + body


def _x86_64() -> bytes:
    wait = b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05" + b"\xeb\xf7"  # pause(); again
    ignore_head = b"\xb8" + struct.pack("<I", 13) + b"\xbf" + struct.pack("<I", 17) + b"\xbe"
    ignore_tail = b"\x31\xd2" + b"\x41\xba" + struct.pack("<I", 8) + b"\x0f\x05"
    action = _BASE + _HEADERS + len(ignore_head) + 4 + len(ignore_tail) + len(wait)
    return ignore_head + struct.pack("<I", action) + ignore_tail + wait


def _aarch64() -> bytes:
    def put(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    call = 0xD4000001
    wait = [put(8, 73), *(put(register, 0) for register in range(5)), call]  # ppoll(0, 0, 0, 0, 0); again
    wait.append(0x14000000 | (-len(wait) & 0x3FFFFFF))
    rest = [put(2, 0), put(3, 8), call, *wait]
    distance = 4 * (1 + len(rest))
    address = 0x10000000 | (distance & 3) << 29 | (distance >> 2) << 5 | 1  # adr x1, action
    return struct.pack(f"<{4 + len(rest) - 1}I", put(8, 134), put(0, 17), address, *rest)

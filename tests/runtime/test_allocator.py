"""What the allocator is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import ctypes
from kplane.runtime.allocator import keep_large_blocks_apart

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]
libc.mallinfo2.restype = Info
if {told}:
    assert keep_large_blocks_apart()
libc.free(libc.malloc(4 << 20))
before = libc.mallinfo2().hblks
libc.malloc(256 << 10)
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
def test_large_blocks_stay_apart_after_larger_ones_were_freed(told: bool) -> None:
    found = subprocess.run(
        [sys.executable, "-c", LOOK.replace("{told}", str(told))], check=True, capture_output=True, text=True
    )

    assert int(found.stdout) == int(told)

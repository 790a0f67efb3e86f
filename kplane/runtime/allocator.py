"""The C library's allocator, told to give large buffers back at once.

glibc maps large blocks one by one, and unmaps them when they are freed; but each time that one is freed it
takes larger blocks for ordinary ones from then on, up to 32 MiB. A process whose connections have buffers of
256 KiB, and whose lists come in bodies of megabytes, then keeps them as holes in its heap for ever.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
"""glibc's number of the option, from malloc.h."""
LARGE = 128 * 1024
"""Bytes; glibc's own limit, before it begins to grow."""


def keep_large_blocks_apart() -> bool:
    """Call this when a process starts. False where the C library has no such option."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE))

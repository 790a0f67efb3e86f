"""image: an image's files, read-only; the runtime mounts them, so that nothing is set up here.

Elsewhere: pulling the image and telling the runtime (`starting.py`).
"""

from __future__ import annotations

from pathlib import Path

from .volume import Request


async def set_up(request: Request) -> Path:
    return request.folder

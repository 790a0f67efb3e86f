"""A container's last words: terminationMessagePath, or the end of its log, bounded as upstream's."""

from __future__ import annotations

import os
from pathlib import Path

from . import labels
from .runtime.interface import ContainerStatus

MAX_BYTES = 4096
MAX_LOG_BYTES = 2048
MAX_LOG_LINES = 80


def message(status: ContainerStatus) -> str:
    """The text for `state.terminated.message` of an exited container."""
    policy = status.annotations.get(labels.MESSAGE_POLICY, "File")
    path = status.annotations.get(labels.MESSAGE_PATH, "")
    text = _head(Path(path), MAX_BYTES) if path else ""
    if not text and policy == "FallbackToLogsOnError" and status.exit_code != 0 and status.log_path:
        text = _log_tail(Path(status.log_path))
    return text or status.message


def _head(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""


def _log_tail(path: Path) -> str:
    """The log's last lines without the CRI prefix `time stream flags `."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 2 * MAX_BYTES, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    entries = [line.split(b" ", 3) for line in lines if line.count(b" ") >= 3]
    # A line without an end of its own (flag P) stays without one.
    texts = [text + (b"" if flag.startswith(b"P") else b"\n") for _, _, flag, text in entries]
    return b"".join(texts[-MAX_LOG_LINES:])[-MAX_LOG_BYTES:].decode(errors="replace")

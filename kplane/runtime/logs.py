"""Logging: one line per decision on stderr, in klog's form, so that existing log tools read it.

    I1121 09:31:02.123456    4242 replicaset.py:88] scaled key=default/web want=3 have=1

Values of Secrets, tokens and keys are never passed to a logger.
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import TextIO

_LETTERS = {
    logging.DEBUG: "I",
    logging.INFO: "I",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "F",
}


class KlogFormatter(logging.Formatter):
    """`Lmmdd hh:mm:ss.uuuuuu threadid file:line] message`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        letter = _LETTERS.get(record.levelno, "I")
        head = f"{letter}{moment:%m%d %H:%M:%S.%f} {record.process:>7} {record.filename}:{record.lineno}]"
        line = f"{head} {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: whoever replaces it, and closes that again, is followed."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def setup(verbosity: int = 0) -> None:
    """Log to stderr: decisions from the start, debugging detail from `--v=4` on."""
    handler = StderrHandler()
    handler.setFormatter(KlogFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    for chatty in ("uvicorn", "asyncio", "grpc", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

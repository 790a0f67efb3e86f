"""The life of a component's process: event loop, signals, and how it ends.

SIGTERM and SIGINT cancel the component's main coroutine, which shuts down in its own order and time; a second
signal ends the process at once. A `Fatal` is a fault that a person can mend: it becomes one line on stderr
and exit status 1, never a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import uvloop

_DURATION = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Fatal(Exception):
    """The process cannot go on; the message is one sentence that says what to do."""


class FlagParser(argparse.ArgumentParser):
    """Parses flags; a bad one is a Fatal instead of a page of usage."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise Fatal(f"{message}; see --help")


def flag_bool(text: str) -> bool:
    """The value of a boolean flag, as Go's flag package reads it. Raises argparse's type error."""
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f'invalid argument "{text}": must be true or false')


def flag_duration(text: str) -> float:
    """Seconds of a duration flag, as Go's time.ParseDuration reads it: `15s`, `1m30s`, `500ms`, `0`. Raises
    argparse's type error."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f'invalid argument "{text}": not a duration such as 15s or 1m30s')
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `main` to its end or to a signal, and return the exit status."""
    status = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(main))
    except* Fatal as faults:
        for fault in _leaves(faults):
            print(f"{name}: {fault}", file=sys.stderr)
        status = 1
    return status


async def _until_signalled(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main())
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if stopping:
            sys.exit(130)
        stopping = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise


def _leaves(group: BaseExceptionGroup[Fatal]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found

"""`kplane logs`: what a container has written, and writes."""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing
from dataclasses import dataclass

from kplane.api.types import Pod
from kplane.runtime.process import flag_duration

from .failures import CommandError
from .pods import choose_container, find_pod
from .session import Session


@dataclass(frozen=True)
class Options:
    """The flags of `logs`, as kubectl has them."""

    container: str = ""
    follow: bool = False
    tail: int = -1
    since: str = ""
    since_time: str = ""
    limit_bytes: int = 0
    timestamps: bool = False
    previous: bool = False

    def query(self) -> dict[str, str]:
        """As the API wants it, the container apart. Raises CommandError."""
        if self.since and self.since_time:
            raise CommandError("at most one of `sinceTime` or `sinceSeconds` may be specified")
        if self.tail < -1:
            raise CommandError("--tail must be greater than or equal to -1")
        flags = {"follow": self.follow, "timestamps": self.timestamps, "previous": self.previous}
        query = {name: "true" for name, value in flags.items() if value}
        if self.tail >= 0:
            query["tailLines"] = str(self.tail)
        if self.since:
            query["sinceSeconds"] = str(_seconds(self.since))
        if self.since_time:
            query["sinceTime"] = self.since_time
        if self.limit_bytes:
            query["limitBytes"] = str(self.limit_bytes)
        return query


def _seconds(duration: str) -> int:
    try:
        seconds = flag_duration(duration)
    except argparse.ArgumentTypeError as error:
        raise CommandError(f"--since: {error}") from error
    if seconds <= 0:
        raise CommandError("--since must be greater than 0")
    return max(round(seconds), 1)


async def logs(session: Session, word: str, options: Options) -> int:
    """Print a container's output as it arrives. Raises ApiError and CommandError."""
    query = options.query()
    pod = await find_pod(session, word)
    query["container"] = choose_container(pod, options.container)
    path = Pod.API.path(pod["metadata"]["namespace"], pod["metadata"]["name"], "log")
    async with (
        session.client.stream(path, query=query, accept="*/*") as stream,
        aclosing(stream.chunks()) as chunks,  # type: ignore[type-var]
    ):
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0

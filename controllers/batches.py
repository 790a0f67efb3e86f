"""Doing many API calls at once without hammering a server that refuses them.

Owns: how parallel writes are paced and how their failures are gathered.
Elsewhere: how a single request is retried (the work queue retries whole reconciles).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from kplane.api.errors import ApiError
from kplane.api.resource import Object


async def attempt_all(actions: Iterable[Awaitable[None]]) -> list[ApiError]:
    """Run all actions to their end, whichever fail; returns the API's errors, in order."""

    async def attempt(action: Awaitable[None]) -> ApiError | None:
        try:
            await action
        except ApiError as error:
            return error
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(action)) for action in actions]
    return [error for task in tasks if (error := task.result())]


def namespace_is_terminating(error: ApiError) -> bool:
    """Whether a create failed because its namespace is going away: nothing to tell anyone."""
    causes: Iterable[Object] = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


async def slow_start(count: int, act: Callable[[], Awaitable[None]]) -> ApiError | None:
    """Act `count` times, in batches of 1, 2, 4 and so on; a batch with a failure is the last.

    A quota or a webhook that refuses everything is asked once, not `count` times. A namespace that is going
    away ends the batches too, and is no failure: retrying would not help.
    """
    size = 1
    while count > 0:
        size = min(size, count)
        errors = await attempt_all(act() for _ in range(size))
        if errors:
            return next((error for error in errors if not namespace_is_terminating(error)), None)
        count -= size
        size *= 2
    return None

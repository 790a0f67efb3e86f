"""Failures as kubectl prints them: one sentence on stderr and exit status 1, never a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from kplane.api.errors import ApiError, Invalid, Unauthorized, Unreachable


class CommandError(Exception):
    """What was asked for cannot be done; printed behind `error: `."""


def report(error: Exception) -> int:
    """Print a failure; the exit status that goes with it."""
    print(describe(error), file=sys.stderr)
    return 1


def describe(error: Exception) -> str:
    """kubectl's sentence for a failure."""
    match error:
        case Unreachable():
            return _unreachable(error)
        case Unauthorized():
            return f"error: You must be logged in to the server ({error.message})"
        case Invalid() if error.details:
            return _invalid(error)
        case ApiError() if error.reason or error.status().get("reason"):
            return f"Error from server ({error.reason}): {error.message}"
        case ApiError():
            return f"Error from server: {error.message}"
        case _:
            return f"error: {error}"


def while_doing(doing: str, source: str, error: ApiError) -> ApiError:
    """The same failure, with what was being done with which file. What was sent is not shown: it may be a
    Secret."""
    error.message = f'error when {doing} "{source}": {error.message}'
    return error


def _unreachable(error: Unreachable) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        server = error.message.partition("://")[2].partition(": ")[0]
        return f"The connection to the server {server} was refused - did you specify the right host or port?"
    return f"Unable to connect to the server: {error.message}"


def _invalid(error: Invalid) -> str:
    kind, name = error.details.get("kind", ""), error.details.get("name", "")
    subject = f'The {kind} "{name}" is invalid' if kind or name else "The request is invalid"
    causes = list(dict.fromkeys(_causes(error)))
    if not causes:
        return subject if kind or name else f"{subject}: {error.message}"
    if len(causes) == 1:
        return f"{subject}: {causes[0]}"
    return "\n".join([f"{subject}: ", *(f"* {cause}" for cause in causes)])


def _causes(error: Invalid) -> Iterator[str]:
    for cause in error.details.get("causes") or ():
        yield f"{cause.get('field', '')}: {cause.get('message', '')}"

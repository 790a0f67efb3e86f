"""What the server's log says of its own faults: where they happened, and what they said.

A fault's text may hold what it stumbled over. Where that may be a credential, only its kind is told.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from .requestinfo import RequestInfo

CONFIDENTIAL = frozenset({("", "secrets"), ("authentication.k8s.io", "tokenreviews")})
"""Resources whose bodies are credentials."""
CONFIDENTIAL_SUBRESOURCES = frozenset({("serviceaccounts", "token")})


def told(error: BaseException, info: RequestInfo) -> str:
    """The stack of a fault, without its text where the request's body is confidential."""
    if not is_confidential(info):
        return "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(_stacks(error))


def is_confidential(info: RequestInfo) -> bool:
    if (info.group, info.resource) in CONFIDENTIAL:
        return True
    return (info.resource, info.subresource) in CONFIDENTIAL_SUBRESOURCES


def _stacks(error: BaseException) -> Iterator[str]:
    """The causes first."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        found = found.__cause__ or found.__context__
    for each in reversed(seen):
        yield "".join(traceback.format_tb(each.__traceback__)).rstrip()
        yield type(each).__name__

"""Regular expressions in linear time: RE2, the dialect of CEL and of Go.

Bounded: the length of a pattern and the memory of its automaton; compiled ones are kept, the latest few
hundred.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from .errors import EvaluationError

_MOST_MEMORY = 8 << 20


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    return options


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _options())


def compiled(pattern: str) -> Any:
    """The compiled expression, with `search`, `match` and `finditer` as in `re`. Raises EvaluationError."""
    try:
        return _compiled(pattern)
    except re2.error as error:
        raise EvaluationError(f"error parsing regexp: {_reason(error)}") from None
    except UnicodeEncodeError:
        raise EvaluationError("error parsing regexp: invalid UTF-8") from None


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)

"""What can go wrong between a client and the fake API server, on a test's command."""

from __future__ import annotations

from dataclasses import dataclass, field

from kplane.api.errors import ApiError, Unreachable

WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class _Fault:
    error: ApiError
    times: int
    methods: tuple[str, ...]
    plural: str
    after: bool


@dataclass
class Faults:
    """Faults that wait for a request that they fit."""

    _waiting: list[_Fault] = field(default_factory=list)

    def fail_next(
        self,
        error: ApiError | None = None,
        *,
        times: int = 1,
        methods: tuple[str, ...] = WRITES,
        plural: str = "",
    ) -> None:
        """Answer the next requests with `error` (default: no answer) and do nothing; all resources where
        no `plural` is given."""
        self._add(error, times, methods, plural, after=False)

    def lose_next_answers(
        self, *, times: int = 1, methods: tuple[str, ...] = WRITES, plural: str = ""
    ) -> None:
        """Do what the next requests ask for, but let the answers be lost."""
        self._add(None, times, methods, plural, after=True)

    def clear(self) -> None:
        """Forget what still waits: everything works again."""
        self._waiting.clear()

    def strike(self, method: str, plural: str, *, after: bool) -> None:
        """Raise what waits for such a request."""
        for fault in self._waiting:
            if method in fault.methods and fault.plural in ("", plural) and fault.after is after:
                fault.times -= 1
                if not fault.times:
                    self._waiting.remove(fault)
                raise fault.error

    def _add(
        self, error: ApiError | None, times: int, methods: tuple[str, ...], plural: str, *, after: bool
    ) -> None:
        error = error or Unreachable("no answer from the fake server: connection reset")
        self._waiting.append(_Fault(error, times, methods, plural, after))

"""Time and randomness, injected: no other module reads a clock, sleeps, or draws a random number.

`Clock` and `Entropy` are what components receive. Under virtual time (`kplane.testing`) the same code runs
a year in seconds, and a seed replays a failure.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")

_VERSION = 0x4000_8000 << 48
_RANDOM = (1 << 128) - 1 ^ 0xF000_C000 << 48
_DRAWN = 64
"""Numbers for UIDs and names for which the system is asked once."""
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, so that no words arise (apimachinery `util/rand`)."""


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """Wall-clock time, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at once (but after other tasks had a turn) if it is not positive."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    # A request asks a dozen times: as it is, without a call around it.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Entropy:
    """Randomness from the system, or from a seed."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311
        self._seeded = seed is not None
        self._drawn: list[int] = []
        """Numbers that the system gave and nobody has seen."""

    def uid(self) -> str:
        """A UUID, version 4: 122 random bits, the version, and the variant."""
        digits = f"{self._number() & _RANDOM | _VERSION:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _number(self) -> int:
        """128 bits that nobody else gets."""
        if self._seeded:
            return self._random.getrandbits(128)
        if not self._drawn:
            # To ask the system takes longer than all the rest, however little is asked for.
            block = self._random.randbytes(16 * _DRAWN)
            self._drawn = [int.from_bytes(block[at : at + 16]) for at in range(0, len(block), 16)]
        return self._drawn.pop()

    def suffix(self, length: int = 5) -> str:
        """Letters for a generated name."""
        # Each letter drawn by itself would be a system call. 64 more bits than needed make the bias that
        # division leaves immeasurable.
        bits = 8 * length + 64
        drawn = self._random.getrandbits(bits) if self._seeded or bits > 128 else self._number()
        number = drawn % len(SUFFIX_ALPHABET) ** length
        letters = []
        for _ in range(length):
            number, position = divmod(number, len(SUFFIX_ALPHABET))
            letters.append(SUFFIX_ALPHABET[position])
        return "".join(letters)

    def token(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def choice(self, items: Sequence[T]) -> T:
        return self._random.choice(items)


class _Second:
    """The second that was last asked about: a server writes the same one hundreds of times."""

    def __init__(self, moment: datetime) -> None:
        self.begins = moment.replace(microsecond=0)
        self.last = moment.replace(microsecond=999_999)
        self.text = f"{moment.isoformat('T', 'seconds')[:19]}Z"


_asked = [_Second(datetime(1970, 1, 1, tzinfo=UTC))]


def rfc3339(moment: datetime) -> str:
    """`metav1.Time`: whole seconds, `2026-01-02T03:04:05Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    if not _asked[0].begins <= moment <= _asked[0].last:
        _asked[0] = _Second(moment)
    return _asked[0].text


def rfc3339_micro(moment: datetime) -> str:
    """`metav1.MicroTime`: `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

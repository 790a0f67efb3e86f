"""Node ports: one RangeAllocation in the store that has a bit for each, which is upstream's own record.

A claim swaps the whole record against the state that it was computed from, so that two API servers never give
out one port twice.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection

from kplane.api.clock import Entropy

from ..storage import codec
from ..storage.store import CompareFailed, Store
from .addresses import Taken

PORTS_KEY = "/registry/ranges/servicenodeports"


class PortAllocator:
    """Node ports, as one bitmap in the store."""

    def __init__(self, store: Store, ports: range, entropy: Entropy) -> None:
        self._store = store
        self.range = ports
        self._entropy = entropy

    async def claim(self, port: int, *, dry_run: bool) -> None:
        """Raises Taken."""
        if port not in self.range:
            raise Taken(
                "provided port is not in the valid range. The range of valid ports is "
                f"{self.range.start}-{self.range.stop - 1}"
            )

        def take(bits: bytearray) -> None:
            if _bit(bits, port - self.range.start):
                raise Taken("provided port is already allocated")
            _set_bit(bits, port - self.range.start, True)

        await self._swap(take, dry_run)

    async def claim_any(self, *, dry_run: bool) -> int:
        """Raises Taken when the range is full."""
        chosen = 0

        def take(bits: bytearray) -> None:
            nonlocal chosen
            free = [index for index in range(len(self.range)) if not _bit(bits, index)]
            if not free:
                raise Taken("range is full")
            index = self._entropy.choice(free)
            _set_bit(bits, index, True)
            chosen = self.range.start + index

        await self._swap(take, dry_run)
        return chosen

    async def release(self, ports: Collection[int]) -> None:
        def give(bits: bytearray) -> None:
            for port in ports:
                if port in self.range:
                    _set_bit(bits, port - self.range.start, False)

        if ports:
            await self._swap(give, dry_run=False)

    async def snapshot(self) -> tuple[frozenset[int], int]:
        """The ports in use, and the revision at which they are."""
        entry = await self._store.get(PORTS_KEY)
        bits = self._bits(entry.value if entry else None)
        taken = (port for index, port in enumerate(self.range) if _bit(bits, index))
        return frozenset(taken), entry.revision if entry else 0

    async def restore(self, taken: Collection[int], revision: int) -> bool:
        """Make exactly these ports the ones in use; False where somebody changed them since `revision`."""
        bits = self._bits(None)
        for port in taken:
            _set_bit(bits, port - self.range.start, True)
        try:
            await self._store.put(PORTS_KEY, self._record(bits), expect=revision)
        except CompareFailed:
            return False
        return True

    async def _swap(self, change: Callable[[bytearray], None], dry_run: bool) -> None:
        """Change the bitmap, again from its new state whenever somebody else was faster."""
        entry = await self._store.get(PORTS_KEY)
        while True:
            bits = self._bits(entry.value if entry else None)
            change(bits)
            if dry_run:
                return
            try:
                await self._store.put(PORTS_KEY, self._record(bits), expect=entry.revision if entry else 0)
                return
            except CompareFailed as failed:
                entry = failed.current

    def _bits(self, value: bytes | None) -> bytearray:
        size = (len(self.range) + 7) // 8
        data = base64.b64decode(codec.decode(value).get("data", "")) if value else b""
        return bytearray(data[:size].ljust(size, b"\0"))

    def _record(self, bits: bytearray) -> bytes:
        return codec.encode(
            {
                "kind": "RangeAllocation",
                "apiVersion": "v1",
                "metadata": {},
                "range": f"{self.range.start}-{self.range.stop - 1}",
                "data": base64.b64encode(bits).decode(),
            }
        )


def _bit(bits: bytearray, index: int) -> bool:
    return bool(bits[index // 8] & (1 << (index % 8)))


def _set_bit(bits: bytearray, index: int, value: bool) -> None:
    mask = 1 << (index % 8)
    bits[index // 8] = bits[index // 8] | mask if value else bits[index // 8] & ~mask

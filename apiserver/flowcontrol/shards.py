"""Shuffle sharding: each flow is dealt a few of the queues, and two flows hardly ever the same few. Pure.

Upstream: apiserver `pkg/util/shufflesharding`.
"""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, distinguisher: str) -> int:
    """64 bits that stand for a flow."""
    digest = hashlib.sha256(schema.encode() + b"\0" + distinguisher.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def deal(value: int, deck: int, hand: int) -> tuple[int, ...]:
    """`hand` different cards out of `deck`, as the value decides."""
    cards: list[int] = []
    taken: list[int] = []
    for dealt in range(hand):
        value, card = divmod(value, deck - dealt)
        # Cards are counted among those that are left.
        for other in taken:
            if card < other:
                break
            card += 1
        cards.append(card)
        taken = sorted([*taken, card])
    return tuple(cards)

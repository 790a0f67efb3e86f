"""The `Warning:` headers of a response: each text once, in order, and not more than a client can take.

Once the texts together are longer than TOTAL, each is cut to ITEM characters; what then still exceeds TOTAL
is dropped. Rules: apiserver `pkg/endpoints/filters/warning.go`, KEP-1693.
"""

from __future__ import annotations

from collections.abc import Iterator

TOTAL = 4096
ITEM = 256


class Warnings:
    """What one request is warned of."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._length = 0
        self._cut_length = 0

    def add(self, text: str) -> None:
        if not text or text in self._texts or self._is_full:
            return
        self._texts[text] = None
        self._length += len(text)
        self._cut_length += min(len(text), ITEM)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __iter__(self) -> Iterator[str]:
        """The texts as they will be sent."""
        if self._length <= TOTAL:
            yield from self._texts
        else:
            yield from (text[:ITEM] for text in self._texts)

    def headers(self) -> Iterator[bytes]:
        for text in self:
            # Control characters would end the header.
            if text.isprintable():
                yield f'299 - "{_escaped(text)}"'.encode()

    @property
    def _is_full(self) -> bool:
        return self._length > TOTAL and self._cut_length >= TOTAL


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

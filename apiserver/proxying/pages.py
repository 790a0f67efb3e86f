"""HTML bodies on their way back: unpacked where they are compressed, rewritten, packed again, in pieces."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from .headers import Header, value_of
from .rewriting import HtmlRewriter, Rewriter

STEP = 64 * 1024
_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": -zlib.MAX_WBITS}


def is_rewritten(headers: list[Header]) -> bool:
    """Whether a body is a page that we can read. An encoding that we do not know passes as it is."""
    media = value_of(headers, b"content-type").partition(b";")[0].strip()
    return media == b"text/html" and value_of(headers, b"content-encoding") in (b"", *_WINDOWS)


async def rewritten(
    body: AsyncIterator[bytes], rewriter: Rewriter, headers: list[Header]
) -> AsyncIterator[bytes]:
    """Raises zlib.error for a body that is not what its encoding says."""
    page = HtmlRewriter(rewriter)
    window = _WINDOWS.get(value_of(headers, b"content-encoding"))
    if window is None:
        async for chunk in body:
            yield page.feed(chunk)
        yield page.close()
        return
    unpack, pack = zlib.decompressobj(window), zlib.compressobj(wbits=window)
    async for chunk in body:
        for piece in _unpacked(unpack, chunk):
            # Flushed so that a page that arrives slowly is seen as it comes.
            yield pack.compress(page.feed(piece))
        yield pack.flush(zlib.Z_SYNC_FLUSH)
    yield pack.compress(page.close()) + pack.flush()


def _unpacked(unpack: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """In steps of a bounded size: a small body can unpack into a huge one."""
    while chunk:
        yield unpack.decompress(chunk, STEP)
        chunk = unpack.unconsumed_tail

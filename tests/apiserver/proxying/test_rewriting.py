"""Addresses in answers."""

from __future__ import annotations

import pytest

from kplane.apiserver.proxying.rewriting import MAX_TAG, HtmlRewriter, Rewriter

PREFIX = "/api/v1/namespaces/ns/pods/p/proxy"
REWRITER = Rewriter(PREFIX, "192.0.2.5:80", "localhost:8001")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("/x/y?z=1#f", f"{PREFIX}/x/y?z=1#f", id="absolute"),
        pytest.param("/x/", f"{PREFIX}/x/", id="slash-stays"),
        pytest.param("/", f"{PREFIX}/", id="root"),
        pytest.param("x/y", "x/y", id="relative"),
        pytest.param("http://192.0.2.5:80/x", f"{PREFIX}/x", id="the-backend-itself"),
        pytest.param("http://localhost:8001/x", f"http://localhost:8001{PREFIX}/x", id="the-host-asked-for"),
        pytest.param("https://example.com/x", "https://example.com/x", id="elsewhere"),
        pytest.param(f"{PREFIX}/x", f"{PREFIX}/x", id="rewritten-already"),
        pytest.param("mailto:a@b.c", "mailto:a@b.c", id="no-path"),
    ],
)
def test_address(address: str, expected: str) -> None:
    assert REWRITER.address(address) == expected


PAGE = (
    b"<!DOCTYPE html><!-- <a href='/no'> --><html><head><link rel=x href=/css></head>"
    b"<body data-x='/no'>1 < 2 <A HREF='/a?b&amp;c'>t</A><img alt='>' src=\"/i\"><style>a{}</style>"
    b"<script src='/s'>'<a href=\"/no\">'</script><br/><a href='http://[bad'>x</a></body></html>"
)
REWRITTEN = (
    b"<!DOCTYPE html><!-- <a href='/no'> --><html><head><link rel=x href=\"%(p)s/css\"></head>"
    b"<body data-x='/no'>1 < 2 <A HREF=\"%(p)s/a?b&amp;c\">t</A><img alt='>' src=\"%(p)s/i\">"
    b"<style>a{}</style><script src=\"%(p)s/s\">'<a href=\"/no\">'</script><br/><a href='http://[bad'>x</a></body></html>"
) % {b"p": PREFIX.encode()}


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_page_in_pieces_of_any_size(size: int) -> None:
    page = HtmlRewriter(REWRITER)

    pieces = [page.feed(PAGE[start : start + size]) for start in range(0, len(PAGE), size)]

    assert b"".join(pieces) + page.close() == REWRITTEN


def test_a_tag_without_end_is_not_held_for_ever() -> None:
    page = HtmlRewriter(REWRITER)

    passed = page.feed(b"<a href='" + b"x" * 2 * MAX_TAG)

    assert len(passed) > MAX_TAG

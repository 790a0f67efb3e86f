"""Health and metrics endpoints of the components that have no other API: `/healthz`, `/livez`, `/readyz`,
`/metrics`.

A check is a coroutine function that returns when all is well and raises `Unhealthy` otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

Check: TypeAlias = Callable[[], Awaitable[None]]


class Unhealthy(Exception):
    """A health check failed; the message is for logs, never for the answer."""


async def ok() -> None:
    """The check that always passes: the process answers."""


async def report(
    path: str, checks: Mapping[str, Check], *, verbose: bool, excluded: set[str]
) -> tuple[int, str]:
    """Run the checks: status code and body, as upstream's healthz package words them."""
    lines: list[str] = []
    failed = False
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        try:
            await check()
        except Unhealthy:
            failed = True
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    endpoint = path.strip("/")
    if failed:
        return 500, "\n".join([*lines, f"{endpoint} check failed"]) + "\n"
    return 200, "\n".join([*lines, f"{endpoint} check passed"]) + "\n" if verbose else "ok"


def component_app(checks: Mapping[str, Check]) -> Callable[..., Any]:
    """The ASGI application with health and metrics; `ping` is added to the checks."""
    all_checks: dict[str, Check] = {"ping": ok, **checks}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path: str = scope["path"]
        if path == "/metrics":
            await respond(send, 200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
            return
        root, _, single = path.strip("/").partition("/")
        if (
            scope["type"] != "http"
            or root not in ("healthz", "livez", "readyz")
            or (single and single not in all_checks)
        ):
            await respond(send, 404, b"404 page not found\n")
            return
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        chosen = {single: all_checks[single]} if single else all_checks
        excluded = set(query.get("exclude", []))
        code, body = await report(root, chosen, verbose="verbose" in query, excluded=excluded)
        await respond(send, code, body.encode())

    return app


async def respond(send: Any, code: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})

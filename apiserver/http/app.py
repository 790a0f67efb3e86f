"""The application: every route of the server, and the boundary around them.

The resource API is a handful of generic routes; their requests were read already by the boundary, so the
router only tells them from everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from .call import Receive, Scope, Send
from .resources import ResourceApi
from .unrouted import UnknownPath

_RESOURCES = (
    "/api/{version}/{resource}/{rest:path}",
    "/apis/{group}/{version}/{resource}/{rest:path}",
    "/api/{version}/{resource}",
    "/apis/{group}/{version}/{resource}",
)


def build_app(resources: ResourceApi, others: Sequence[BaseRoute], *middleware: Middleware) -> FastAPI:
    """`others`: every path that is no resource's. `middleware` from the outside in, the boundary first."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes[:] = [
        *(Route(path, resources) for path in _RESOURCES),
        *others,
        Route("/{path:path}", _unknown),
    ]
    app.user_middleware.extend(middleware)
    return app


class _Unknown:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise UnknownPath


_unknown = _Unknown()

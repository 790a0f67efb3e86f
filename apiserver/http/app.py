"""The application: every route of the server, and the boundary around them.

The resource API is a handful of generic routes. The boundary has read their requests already, so what it
found to be about a resource goes straight there: FastAPI's own layers would cost a read a sixth of its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from .call import Receive, Scope, Send, call_of
from .resources import ResourceApi
from .unrouted import UnknownPath

_RESOURCES = (
    "/api/{version}/{resource}/{rest:path}",
    "/apis/{group}/{version}/{resource}/{rest:path}",
    "/api/{version}/{resource}",
    "/apis/{group}/{version}/{resource}",
)


class Application(FastAPI):
    """FastAPI, with nothing but `middleware` between it and the resources."""

    def __init__(self, resources: ResourceApi, **settings: Any) -> None:
        super().__init__(**settings)
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What FastAPI and Starlette do here, in one step.
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        # The boundary turns failures into answers; Starlette's last resort outside of it would never see one.
        routes = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        app: ASGIApp = _Fork(self._resources, routes)
        for layer, args, kwargs in reversed(self.user_middleware):
            app = layer(app, *args, **kwargs)
        return app


class _Fork:
    """Tells requests for resources from all others."""

    def __init__(self, resources: ResourceApi, routes: ASGIApp) -> None:
        self._resources = resources
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        info = call_of(scope).info
        # The router is stricter about empty parts of a path than the reading of requests.
        if info.resource and "//" not in info.path:
            await self._resources(scope, receive, send)
        else:
            await self._routes(scope, receive, send)


def build_app(resources: ResourceApi, others: Sequence[BaseRoute], *middleware: Middleware) -> FastAPI:
    """`others`: every path that is no resource's. `middleware` from the outside in, the boundary first."""
    app = Application(
        resources,
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

"""Everything but resources: health, version, metrics, discovery, and the list of paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kplane.api.scheme import Scheme
from kplane.runtime.health import Check, report

from ..discovery import AGGREGATED_VERSIONS, Discovery, Document, version_info
from ..openapi import CONTENT_TYPE as PROTOBUF_ANSWER
from ..openapi import MEDIA_TYPE as PROTOBUF_REQUEST
from ..openapi import OpenApi
from .call import call_of
from .negotiation import JSON, YAML
from .output import finish, object_response
from .unrouted import UnknownPath

_HEALTH = ("healthz", "livez", "readyz")
_AGGREGATED_KIND = "APIGroupDiscoveryList"
_TEXT = "text/plain; charset=utf-8"


class SystemApi:
    """Routes by path, as Starlette knows them."""

    def __init__(
        self,
        scheme: Scheme,
        discovery: Discovery,
        openapi: OpenApi,
        checks: Mapping[str, Mapping[str, Check]],
        metrics: CollectorRegistry,
    ) -> None:
        """`checks` by endpoint: healthz, livez, readyz."""
        self._scheme = scheme
        self._discovery = discovery
        self._openapi = openapi
        self._checks = checks
        self._metrics = metrics

    def routes(self) -> Sequence[BaseRoute]:
        endpoints = {
            "/version": self._version,
            "/metrics": self._show_metrics,
            "/api": self._api,
            "/apis": self._apis,
            "/openapi/v2": self._openapi_v2,
            "/openapi/v3": self._openapi_v3_index,
            "/openapi/v3/api/{version}": self._openapi_v3,
            "/openapi/v3/apis/{group}/{version}": self._openapi_v3,
            "/api/{version}": self._resources,
            "/apis/{group}": self._group,
            "/apis/{group}/{version}": self._resources,
        }
        for name in _HEALTH:
            endpoints |= {f"/{name}": self._health, f"/{name}/{{check}}": self._health}
        found: list[BaseRoute] = [Route("/", self._paths)]
        for path, endpoint in endpoints.items():
            # Some clients end the paths of discovery with a slash.
            found += [Route(path, endpoint), Route(f"{path}/", endpoint)]
        return found

    async def _health(self, request: Request) -> Response:
        endpoint, _, single = request.url.path.strip("/").partition("/")
        checks = self._checks[endpoint]
        if single:
            if single not in checks:
                raise UnknownPath
            checks = {single: checks[single]}
        query = request.query_params
        excluded = set(query.getlist("exclude"))
        code, body = await report(endpoint, checks, verbose="verbose" in query, excluded=excluded)
        return Response(body, code, {"x-content-type-options": "nosniff"}, _TEXT)

    async def _show_metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)

    async def _version(self, request: Request) -> Response:
        body = msgspec.json.format(msgspec.json.encode(version_info()), indent=2)
        return Response(body + b"\n", media_type=JSON)

    async def _paths(self, request: Request) -> Response:
        paths = ["/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/version"]
        for group, version in self._scheme.group_versions():
            paths += [f"/apis/{group}", f"/apis/{group}/{version}"] if group else [f"/api/{version}"]
        for name, checks in self._checks.items():
            paths += [f"/{name}", *(f"/{name}/{check}" for check in checks)]
        return object_response(call_of(request.scope), {"paths": sorted(set(paths))})

    async def _api(self, request: Request) -> Response:
        return self._root(request, legacy=True)

    async def _apis(self, request: Request) -> Response:
        return self._root(request, legacy=False)

    def _root(self, request: Request, *, legacy: bool) -> Response:
        version = _aggregated_version(request.headers.get("accept", ""))
        if not version:
            return self._answer(request, self._discovery.api() if legacy else self._discovery.apis())
        document = self._discovery.aggregated(legacy=legacy, version=version)
        media = f"{JSON};g=apidiscovery.k8s.io;v={version};as={_AGGREGATED_KIND}"
        return self._answer(request, document, media)

    async def _group(self, request: Request) -> Response:
        return self._answer(request, self._discovery.group(request.path_params["group"]))

    async def _resources(self, request: Request) -> Response:
        params = request.path_params
        return self._answer(request, self._discovery.resources(params.get("group", ""), params["version"]))

    async def _openapi_v2(self, request: Request) -> Response:
        if PROTOBUF_REQUEST not in request.headers.get("accept", ""):
            return self._answer(request, self._openapi.v2())
        document = self._openapi.v2_protobuf()
        headers = {"etag": document.etag, "vary": "Accept"}
        if request.headers.get("if-none-match") == document.etag:
            return Response(status_code=304, headers=headers)
        return Response(document.body, headers=headers, media_type=PROTOBUF_ANSWER)

    async def _openapi_v3_index(self, request: Request) -> Response:
        return self._answer(request, self._openapi.v3_index())

    async def _openapi_v3(self, request: Request) -> Response:
        params = request.path_params
        return self._answer(request, self._openapi.v3(params.get("group", ""), params["version"]))

    def _answer(self, request: Request, document: Document | None, media: str = JSON) -> Response:
        if document is None:
            raise UnknownPath
        headers = {"etag": document.etag, "vary": "Accept"}
        if request.headers.get("if-none-match") == document.etag:
            return Response(status_code=304, headers=headers)
        call = call_of(request.scope)
        # The aggregated form was asked for by name: no other clause of the header need be one that we know.
        if media == JSON and call.output(convertible=False).media_type == YAML:
            return object_response(call, msgspec.json.decode(document.body))
        return Response(finish(call, document.body), headers=headers, media_type=media)


def _aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that the client prefers over the plain one; empty for neither."""
    for clause in accept.split(","):
        parameters = {part.strip() for part in clause.split(";")}
        if JSON not in parameters:
            continue
        if f"as={_AGGREGATED_KIND}" not in parameters:
            return ""
        for version in AGGREGATED_VERSIONS:
            if f"v={version}" in parameters:
                return version
    return ""

"""The resource API: one generic endpoint for every resource, dispatching on verb and subresource.

Order of a request: the boundary has read it and knows the user; here its row is found, its verb checked
against what discovery says, its body decoded, and the registry called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import BadRequest, MethodNotAllowed, NotFound
from kplane.api.resource import Key, Object
from kplane.api.scheme import ALL_VERBS, ResourceInfo, Scheme

from ..registry.generic import Registry
from ..registry.registry import Registries
from ..registry.strategy import Subresource
from ..registry.writing import Author
from ..storage import codec
from . import lists, watches
from .applies import APPLY_PATCH, read_configuration
from .call import Call, call_of
from .decoding import dry_run, field_manager, read_object
from .deletes import read_delete
from .negotiation import Output
from .output import object_response, render, wire_response
from .patches import patch_type, read_patch
from .revisions import parse_revision
from .transforms import Form
from .unrouted import misplaced, not_allowed, unknown_resource, unknown_subresource

_OPTIONS = ("fieldManager", "fieldValidation")
CUSTOM = "*"
"""Stands for the group of every custom resource among the handlers of subresources."""

_OF_COLLECTIONS = frozenset({"create", "list", "deletecollection"})
_PROXIED_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SubresourceHandler: TypeAlias = Callable[[Call, ResourceInfo], Awaitable[Response]]
"""Answers every verb of one subresource that is not (part of) the object: binding, eviction, scale."""

StreamHandler: TypeAlias = Callable[[Call, ResourceInfo, Scope, Receive, Send], Awaitable[None]]
"""The same for requests that take over the connection: log, exec, attach, portforward, proxy."""


class ResourceApi:
    """An ASGI application. `handlers` and `streams` are by (group, plural, subresource)."""

    def __init__(
        self,
        scheme: Scheme,
        registries: Registries,
        *,
        clock: Clock,
        entropy: Entropy,
        handlers: Mapping[tuple[str, str, str], SubresourceHandler],
        streams: Mapping[tuple[str, str, str], StreamHandler],
    ) -> None:
        self._scheme = scheme
        self._registries = registries
        self._clock = clock
        self._entropy = entropy
        self._handlers = handlers
        self._streams = streams
        self._verbs: Mapping[str, Callable[[Call, Registry], Awaitable[Response]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        info = call.info
        row = self._scheme.by_path(info.group, info.version, info.resource)
        if row is None:
            raise unknown_resource(info, self._scheme)
        _check_place(call, row)
        if row.deprecation:
            call.warn(row.deprecation)
            call.annotate("k8s.io/deprecated", "true")
        if row.custom:
            _check_custom(call, row)
            key = (CUSTOM, "", info.subresource)
        else:
            call.binary = True
            key = (row.group, row.plural, info.subresource)
        if stream := self._streams.get(key):
            await stream(call, row, scope, receive, send)
            return
        if handler := self._handlers.get(key):
            response = await handler(call, row)
        else:
            registry = self._registries.of(row)
            # A subresource that neither has a handler nor is (part of) the object is not served.
            object_subresource(call, registry)
            response = await self._verbs[info.verb](call, registry)
        await response(scope, receive, send)

    def form(self, call: Call, row: ResourceInfo, output: Output) -> Form | None:
        """What the bytes of an object must be turned into; None where they are the answer."""
        if not output.form:
            return None
        return Form(row, output, call.query("includeObject"), self._clock)

    async def _get(self, call: Call, registry: Registry) -> Response:
        output = call.output()
        info = call.info
        revision = parse_revision(call.query("resourceVersion"))
        item = await registry.cache.get(info.namespace_of(registry.info), info.name, at_least=revision)
        if item is None:
            raise registry.missing(info.name)
        return await self._show(call, registry, output, item.wire)

    async def _show(
        self, call: Call, registry: Registry, output: Output, wire: bytes, code: int = 200
    ) -> Response:
        """A stored object, as the client wants to see it."""
        form = self.form(call, registry.info, output)
        return wire_response(call, output, await registry.served(wire), form, code)

    async def _list(self, call: Call, registry: Registry) -> Response:
        output, row = call.output(), registry.info
        form = Form(row, output, call.query("includeObject"), self._clock)
        return await lists.list_response(call, registry, output, form, self._clock)

    async def _watch(self, call: Call, registry: Registry) -> Response:
        form = self.form(call, registry.info, call.output())
        return await watches.watch_response(call, registry, form, self._clock, self._entropy)

    async def _create(self, call: Call, registry: Registry) -> Response:
        output = call.output()
        author = writer_of(call, "CreateOptions")
        obj = await read_object(call, registry.info, "CreateOptions")
        if call.audit is not None:
            call.audit.defaulted(obj, registry.strategy.default)
        written = await registry.create(obj, call.info.namespace_of(registry.info), author)
        return await self._show(call, registry, output, written.wire, 201)

    async def _update(self, call: Call, registry: Registry) -> Response:
        output = call.output()
        author = writer_of(call, "UpdateOptions")
        obj = await read_object(call, registry.info, "UpdateOptions")
        if call.audit is not None:
            call.audit.defaulted(obj, registry.strategy.default)
        require_name(call, obj)
        body = msgspec.json.encode(obj)
        subresource = object_subresource(call, registry)
        written = await registry.modify(
            key_of(call, registry.info),
            # A lost race runs the change again, on a body that nothing has touched yet.
            lambda _: codec.decode(body),
            author,
            subresource=subresource,
            create=None if subresource else lambda: obj,
        )
        code = 201 if written.created else 200
        return await self._show(call, registry, output, written.wire, code)

    async def _patch(self, call: Call, registry: Registry) -> Response:
        output = call.output()
        if patch_type(call) == APPLY_PATCH:
            return await self._apply(call, registry)
        author = writer_of(call, "PatchOptions")
        change = await read_patch(call, registry.info, custom=registry.info.custom is not None)
        written = await registry.modify(
            key_of(call, registry.info), change, author, subresource=object_subresource(call, registry)
        )
        return await self._show(call, registry, output, written.wire)

    async def _apply(self, call: Call, registry: Registry) -> Response:
        output, row = call.output(), registry.info
        author = replace(writer_of(call, "PatchOptions"), applies=True)
        config = await read_configuration(call, row)
        written = await registry.apply(
            key_of(call, row),
            config.body,
            author,
            force=config.force,
            subresource=object_subresource(call, registry),
        )
        code = 201 if written.created else 200
        return await self._show(call, registry, output, written.wire, code)

    async def _delete(self, call: Call, registry: Registry) -> Response:
        output = call.output()
        request = await read_delete(call)
        author = replace(author_of(call, request.dry_run), options=request.fields)
        removed = await registry.delete(key_of(call, registry.info), request.options, author)
        if not removed.gone or registry.info.returns_deleted:
            return await self._show(call, registry, output, removed.wire)
        return object_response(call, deleted_status(registry.info, codec.decode(removed.wire)))

    async def _delete_collection(self, call: Call, registry: Registry) -> Response:
        request = await read_delete(call)
        author = replace(author_of(call, request.dry_run), options=request.fields)
        page = await lists.read_page(call, registry)
        wires: list[bytes] = []
        for item in page.items:
            try:
                removed = await registry.delete(Key(item.namespace, item.name), request.options, author)
            except NotFound:
                # Somebody else deleted it first, which is what was asked for.
                continue
            wires.append(removed.wire)
        metadata = lists.list_metadata(page, registry.cache.key("", ""))
        output = call.output()
        body = Form(registry.info, output, "", self._clock).listing(await registry.objects(wires), metadata)
        return Response(render(call, body, output), media_type=output.media_type)


def author_of(call: Call, dry_run: bool) -> Author:
    return Author(call.user, call.warn, dry_run, annotate=call.annotate)


def writer_of(call: Call, options_kind: str) -> Author:
    """The author of a write whose fields are tracked. Raises Invalid."""
    manager = field_manager(call, options_kind)
    return Author(
        call.user,
        call.warn,
        dry_run(call, options_kind),
        manager=manager,
        subresource=call.info.subresource,
        options=options_of(call),
        annotate=call.annotate,
    )


def options_of(call: Call) -> Mapping[str, Any]:
    """The query's part of CreateOptions and UpdateOptions, as admission plug-ins are told it."""
    query = call.info.query
    options: dict[str, Any] = {name: query[name] for name in _OPTIONS if query.get(name)}
    if query.get("dryRun"):
        options["dryRun"] = [query["dryRun"]]
    return options


def key_of(call: Call, row: ResourceInfo) -> Key:
    return Key(call.info.namespace_of(row), call.info.name)


def object_subresource(call: Call, registry: Registry) -> Subresource | None:
    """The subresource that the request writes through; None for the object itself."""
    name = call.info.subresource
    if not name:
        return None
    subresource = registry.subresource(name)
    if subresource is None:
        raise unknown_subresource(call.info, registry.info)
    return subresource


def deleted_status(row: ResourceInfo, obj: Object) -> Object:
    """The Status that answers a DELETE which removed the object."""
    details = {
        "name": obj["metadata"]["name"],
        "group": row.group,
        "kind": row.plural,
        "uid": obj["metadata"]["uid"],
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _check_place(call: Call, row: ResourceInfo) -> None:
    """Whether this method exists at this path: verbs, subresources, and namespaces where they belong."""
    info = call.info
    if row.namespaced:
        if info.name and not info.namespace:
            raise misplaced(row)
        if info.verb in ("create", "deletecollection") and not info.namespace:
            raise not_allowed()
    elif info.namespace and row.plural != "namespaces":
        raise misplaced(row)
    # Discovery hides what a terminating custom resource still answers.
    verbs = ALL_VERBS if row.custom else row.verbs
    if info.subresource:
        subresource = row.subresource(info.subresource)
        if subresource is None or (info.rest and info.subresource != "proxy"):
            raise unknown_subresource(info, row)
        if subresource.name == "proxy" and info.method in _PROXIED_METHODS:
            # OPTIONS has no verb of its own, and yet passes through.
            return
        verbs = subresource.verbs
    elif bool(info.name) == (info.verb in _OF_COLLECTIONS) and info.verb != "watch":
        raise not_allowed()
    # To authorisation HEAD is a get, and yet only proxied requests may be one.
    if info.verb not in verbs or info.method == "HEAD":
        raise not_allowed()


def _check_custom(call: Call, row: ResourceInfo) -> None:
    """What a custom resource's definition has to say to any request."""
    assert row.custom is not None
    if row.custom.warning:
        call.warn(row.custom.warning)
    if row.custom.terminating and call.info.verb == "create":
        text = f"{call.info.verb} not allowed while custom resource definition is terminating"
        raise MethodNotAllowed(text, {"group": row.group, "kind": row.plural})


def require_name(call: Call, obj: Object) -> None:
    """The body of an update must be of the object that the URL names."""
    metadata, info = obj["metadata"], call.info
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not name:
        raise BadRequest(
            f"the name of the object ({info.name} based on URL) was undeterminable: name must be provided"
        )
    if name != info.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({info.name})")
    if namespace and info.namespace and info.resource != "namespaces" and namespace != info.namespace:
        raise BadRequest(
            f"the namespace of the object ({namespace}) does not match the namespace on the request "
            f"({info.namespace})"
        )

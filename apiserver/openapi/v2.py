"""OpenAPI v2 (Swagger 2.0): one document with all paths and definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from kplane.api.resource import Object

from ..discovery import GIT_VERSION
from .definitions import Lookup, named, reachable
from .operations import TEXT, Operation, PathItem, extensions
from .parameters import PATH, QUERY, Parameter

UNAUTHORIZED = {"description": "Unauthorized"}


class Fragment(NamedTuple):
    """Encoded pieces of the document."""

    paths: dict[str, msgspec.Raw]
    definitions: dict[str, msgspec.Raw]


def fragment(items: Iterable[PathItem], find: Lookup) -> Fragment:
    """The pieces that these paths need."""
    items = list(items)
    encode = msgspec.json.encode
    return Fragment(
        {item.path: msgspec.Raw(encode(_path(item))) for item in items},
        {name: msgspec.Raw(encode(schema)) for name, schema in reachable(named(items), find).items()},
    )


def document(fragments: Iterable[Fragment]) -> Object:
    """The whole document."""
    paths: dict[str, msgspec.Raw] = {}
    definitions: dict[str, msgspec.Raw] = {}
    for part in fragments:
        paths |= part.paths
        definitions |= part.definitions
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def _path(item: PathItem) -> Object:
    path: Object = {operation.method: _operation(operation, item) for operation in item.operations}
    if item.parameters:
        path["parameters"] = [_parameter(PATH.get(name) or QUERY[name]) for name in item.parameters]
    return path


def _operation(operation: Operation, item: PathItem) -> Object:
    inputs: list[Object] = []
    if operation.body:
        body: dict[str, Any] = {"name": "body", "in": "body", "schema": _reference(operation.body)}
        inputs.append(body | ({"required": True} if operation.body_required else {}))
    inputs += [_parameter(QUERY[name]) for name in operation.query if name not in item.parameters]
    responses = {
        code: {"description": _PHRASES[code], "schema": _reference(answer)}
        for code, answer in operation.answers.items()
    }
    result: Object = {
        "description": operation.description,
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.id,
        "responses": responses | {"401": UNAUTHORIZED},
        **extensions(operation),
    }
    return result | ({"parameters": inputs} if inputs else {})


_PHRASES = {"200": "OK", "201": "Created", "202": "Accepted"}


def _parameter(parameter: Parameter) -> Object:
    entry: Object = {
        "name": parameter.name,
        "in": parameter.where,
        "type": parameter.type,
        "description": parameter.description,
        "uniqueItems": True,
    }
    return entry | ({"required": True} if parameter.where == "path" else {})


def _reference(name: str) -> Object:
    return {"type": "string"} if name == TEXT else {"$ref": f"#/definitions/{name}"}

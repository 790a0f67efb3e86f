"""OpenAPI v3: one document for each group and version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kplane.api.resource import Object
from kplane.api.schema import QUANTITY, Schema

from ..discovery import GIT_VERSION
from .definitions import Lookup, named, reachable
from .operations import TEXT, Operation, PathItem, extensions
from .parameters import PATH, QUERY, Parameter

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_EITHER = {
    QUANTITY: [{"type": "string"}, {"type": "number"}],
    INT_OR_STRING: [{"type": "integer"}, {"type": "string"}],
}
"""Definitions that v3 can say exactly, where v2 says `string`."""
_PHRASES = {"200": "OK", "201": "Created", "202": "Accepted"}


def document(items: Iterable[PathItem], find: Lookup) -> Object:
    """The document of one group and version."""
    items = list(items)
    definitions = reachable(named(items), find)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": {item.path: _path(item) for item in sorted(items, key=lambda item: item.path)},
        "components": {
            "schemas": {name: _definition(name, schema) for name, schema in definitions.items()},
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
    }


def _definition(name: str, schema: Schema) -> Schema:
    if either := _EITHER.get(name):
        return {key: value for key, value in schema.items() if key != "type"} | {"oneOf": either}
    return _schema(schema)


def _schema(schema: Schema) -> Schema:
    """The v3 form: a reference that says more than its target stands in an `allOf`."""
    if reference := schema.get("$ref"):
        target = {"$ref": reference.replace("#/definitions/", "#/components/schemas/")}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return rest | {"allOf": [target]} if rest else target
    result = dict(schema)
    if properties := schema.get("properties"):
        result["properties"] = {name: _schema(prop) for name, prop in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = _schema(schema[key])
    return result


def _path(item: PathItem) -> Object:
    path: Object = {operation.method: _operation(operation, item) for operation in item.operations}
    if item.parameters:
        path["parameters"] = [_parameter(PATH.get(name) or QUERY[name]) for name in item.parameters]
    return path


def _operation(operation: Operation, item: PathItem) -> Object:
    result: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "responses": {
            code: {"description": _PHRASES[code], "content": _content(operation.produces, answer)}
            for code, answer in operation.answers.items()
        }
        | {"401": {"description": "Unauthorized"}},
        **extensions(operation),
    }
    if query := [_parameter(QUERY[name]) for name in operation.query if name not in item.parameters]:
        result["parameters"] = query
    if operation.body:
        body: dict[str, Any] = {"content": _content(operation.consumes, operation.body)}
        result["requestBody"] = body | ({"required": True} if operation.body_required else {})
    return result


def _content(media_types: Iterable[str], name: str) -> Object:
    schema = {"type": "string"} if name == TEXT else {"$ref": f"#/components/schemas/{name}"}
    return {media_type: {"schema": schema} for media_type in media_types}


def _parameter(parameter: Parameter) -> Object:
    entry: Object = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    return entry | ({"required": True} if parameter.where == "path" else {})

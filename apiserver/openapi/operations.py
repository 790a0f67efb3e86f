"""The API's paths and operations, derived from the scheme's rows. `v2` and `v3` write them down.

Names of operations, actions and paths are upstream's: generated clients take their methods from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kplane.api.resource import Object
from kplane.api.schema import META
from kplane.api.scheme import ResourceInfo, SubresourceInfo

from . import parameters
from .custom import list_definition

STATUS = f"{META}Status"
DELETE_OPTIONS = f"{META}DeleteOptions"
PATCH = f"{META}Patch"
WATCH_EVENT = f"{META}WatchEvent"
TEXT = "string"
"""Stands for an answer that is no object."""

JSON_AND_YAML = ("application/json", "application/yaml")
STREAMED = (*JSON_AND_YAML, "application/json;stream=watch")
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
CUSTOM_PATCH_TYPES = tuple(name for name in PATCH_TYPES if "strategic" not in name)
_METHODS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_PROXY_METHODS = ("delete", "get", "head", "options", "patch", "post", "put")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` and the values of `answers` name definitions, or TEXT."""

    method: str
    id: str
    action: str
    kind: tuple[str, str, str] | None
    """Group, version and kind that the operation is about; None for those that are about no resource."""
    description: str
    tag: str
    query: tuple[str, ...]
    answers: dict[str, str]
    """Status code -> definition of the body."""
    body: str = ""
    body_required: bool = True
    consumes: tuple[str, ...] = ("*/*",)
    produces: tuple[str, ...] = JSON_AND_YAML


@dataclass(frozen=True, slots=True)
class PathItem:
    """A path with its operations, and the names of the parameters that all of them take."""

    path: str
    parameters: tuple[str, ...]
    operations: tuple[Operation, ...]


def paths(row: ResourceInfo) -> Iterator[PathItem]:
    """Every path of a resource and of its subresources."""
    found = _Paths(row)
    items = [*found.collection(), *found.item(), *found.watches()]
    for sub in row.subresources:
        items += found.subresource(sub)
    yield from (item for item in items if item.operations)


def extensions(operation: Operation) -> Object:
    """What Kubernetes says of an operation beyond OpenAPI."""
    if operation.kind is None:
        return {}
    group, version, kind = operation.kind
    return {
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }


def title(group: str, version: str) -> str:
    """`CoreV1`, `AppsV1`, `RbacAuthorizationV1`: what names of operations contain."""
    words = (group or "core").removesuffix(".k8s.io").split(".")
    return "".join(word[:1].upper() + word[1:] for word in [*words, version])


def tag(group: str, version: str) -> str:
    """`core_v1`, `rbacAuthorization_v1`; without a version, `apps`."""
    name = title(group, "")
    return f"{name[:1].lower()}{name[1:]}_{version}".rstrip("_")


class _Paths:
    """The paths of one row."""

    def __init__(self, row: ResourceInfo) -> None:
        self._row = row
        self._title = title(row.group, row.version)
        self._tag = tag(row.group, row.version)
        self._scope = "Namespaced" if row.namespaced else ""
        self._prefix = row.resource.prefix
        self._scoped = "/namespaces/{namespace}" if row.namespaced else ""
        self._scope_parameters = ("namespace",) if row.namespaced else ()
        self._items = f"{self._prefix}{self._scoped}/{row.plural}"

    def collection(self) -> Iterator[PathItem]:
        row, name = self._row, f"{self._scope}{self._row.kind}"
        operations = []
        if "deletecollection" in row.verbs:
            operations.append(
                self._operation(
                    "delete", f"delete{self._title}Collection{name}", "deletecollection",
                    f"delete collection of {row.kind}", parameters.DELETE_COLLECTION, {"200": STATUS},
                    body=DELETE_OPTIONS, body_required=False,
                )
            )  # fmt: skip
        if "list" in row.verbs:
            operations.append(self._list(f"list{self._title}{name}"))
        if "create" in row.verbs:
            operations.append(
                self._write(
                    "post", f"create{self._title}{name}", "create", row.definition, ("200", "201", "202")
                )
            )
        yield PathItem(self._items, (*self._scope_parameters, "pretty"), tuple(operations))
        if row.namespaced and "list" in row.verbs:
            everywhere = self._list(f"list{self._title}{row.kind}ForAllNamespaces")
            yield PathItem(f"{self._prefix}/{row.plural}", (*parameters.LIST, "pretty"), (everywhere,))

    def item(self) -> Iterator[PathItem]:
        row, name = self._row, f"{self._scope}{self._row.kind}"
        operations = [
            self._verb(verb, name, row.definition)
            for verb in ("delete", "get", "patch", "update")
            if verb in row.verbs
        ]
        path_parameters = ("name", *self._scope_parameters, "pretty")
        yield PathItem(f"{self._items}/{{name}}", path_parameters, tuple(operations))

    def watches(self) -> Iterator[PathItem]:
        """The deprecated paths of watches, which old clients use."""
        row = self._row
        # Those of custom resources are served, and not published.
        if "watch" not in row.verbs or row.custom:
            return
        shared = (*parameters.LIST, *self._scope_parameters, "pretty")
        name = f"watch{self._title}{self._scope}{row.kind}"
        watch = f"{self._prefix}/watch"
        if row.namespaced:
            everywhere = self._watch(f"watch{self._title}{row.kind}ListForAllNamespaces", "watchlist")
            yield PathItem(f"{watch}/{row.plural}", (*parameters.LIST, "pretty"), (everywhere,))
        yield PathItem(
            f"{watch}{self._scoped}/{row.plural}", shared, (self._watch(f"{name}List", "watchlist"),)
        )
        yield PathItem(
            f"{watch}{self._scoped}/{row.plural}/{{name}}", ("name", *shared), (self._watch(name, "watch"),)
        )

    def subresource(self, sub: SubresourceInfo) -> Iterator[PathItem]:
        row = self._row
        suffix = sub.name[:1].upper() + sub.name[1:]
        name = f"{self._scope}{row.kind}{suffix}"
        path = f"{self._items}/{{name}}/{sub.name}"
        path_parameters = ("name", *self._scope_parameters)
        if sub.kind.endswith("Options"):
            query = parameters.SUBRESOURCE.get(sub.name, ())
            yield PathItem(path, (*path_parameters, *query), self._connects(sub, name))
            if sub.name == "proxy":
                yield PathItem(
                    f"{path}/{{path}}", (*path_parameters, "path"), self._connects(sub, f"{name}WithPath")
                )
            return
        operations = (self._verb(verb, name, sub_definition(row, sub), sub) for verb in sorted(sub.verbs))
        yield PathItem(path, (*path_parameters, "pretty"), tuple(operations))

    def _connects(self, sub: SubresourceInfo, name: str) -> tuple[Operation, ...]:
        methods = _PROXY_METHODS if sub.name == "proxy" else ("get", "post")
        return tuple(
            self._operation(
                method, f"connect{self._title}{method.capitalize()}{name}", "connect",
                f"connect {method.upper()} requests to {sub.name} of {self._row.kind}", (), {"200": TEXT},
                sub=sub, produces=("*/*",),
            )
            for method in methods
        )  # fmt: skip

    def _verb(self, verb: str, name: str, definition: str, sub: SubresourceInfo | None = None) -> Operation:
        """The operation of a verb on one object or subresource."""
        what = f"{sub.name} of the specified" if sub else "the specified"
        match verb:
            case "get":
                text = sub is not None and sub.name == "log"
                return self._operation(
                    "get", f"read{self._title}{name}", "get", f"read {what} {self._row.kind}",
                    parameters.SUBRESOURCE["log"] if text else (), {"200": TEXT if text else definition},
                    sub=sub, produces=("text/plain", *JSON_AND_YAML) if text else JSON_AND_YAML,
                )  # fmt: skip
            case "delete":
                answer = definition if self._row.returns_deleted else STATUS
                return self._operation(
                    "delete", f"delete{self._title}{name}", "delete", f"delete a {self._row.kind}",
                    parameters.DELETE, {"200": answer, "202": answer},
                    body=DELETE_OPTIONS, body_required=False,
                )  # fmt: skip
            case "patch":
                return self._operation(
                    "patch", f"patch{self._title}{name}", "patch",
                    f"partially update {what} {self._row.kind}", parameters.PATCH,
                    {"200": definition, "201": definition}, body=PATCH, sub=sub,
                    consumes=CUSTOM_PATCH_TYPES if self._row.custom else PATCH_TYPES,
                )  # fmt: skip
            case "create":
                codes = ("200", "201", "202")
                return self._write("post", f"create{self._title}{name}", "create", definition, codes, sub)
            case _:
                return self._write(
                    "put", f"replace{self._title}{name}", "replace", definition, ("200", "201"), sub
                )

    def _write(
        self, method: str, name: str, what: str, definition: str, codes: tuple[str, ...],
        sub: SubresourceInfo | None = None,
    ) -> Operation:  # fmt: skip
        subject = f"{sub.name} of a {self._row.kind}" if sub else f"a {self._row.kind}"
        answers = dict.fromkeys(codes, definition)
        return self._operation(
            method, name, method, f"{what} {subject}", parameters.WRITE, answers, body=definition, sub=sub
        )

    def _list(self, name: str) -> Operation:
        return self._operation(
            "get", name, "list", f"list or watch objects of kind {self._row.kind}", parameters.LIST,
            {"200": list_definition(self._row)}, produces=STREAMED,
        )  # fmt: skip

    def _watch(self, name: str, action: str) -> Operation:
        description = f"watch changes to {self._row.kind}. deprecated: use the 'watch' parameter with a list"
        return self._operation("get", name, action, description, (), {"200": WATCH_EVENT}, produces=STREAMED)

    def _operation(
        self, method: str, name: str, action: str, description: str, query: tuple[str, ...],
        answers: dict[str, str], *, body: str = "", body_required: bool = True,
        consumes: tuple[str, ...] = ("*/*",), produces: tuple[str, ...] = JSON_AND_YAML,
        sub: SubresourceInfo | None = None,
    ) -> Operation:  # fmt: skip
        row = self._row
        kind = (row.group, row.version, row.kind)
        if sub is not None:
            kind = (sub.group, sub.version, sub.kind) if sub.version else (row.group, row.version, sub.kind)
        return Operation(
            method,
            name,
            action,
            kind,
            description,
            self._tag,
            query,
            answers,
            body,
            body_required,
            consumes,
            produces,
        )


def sub_definition(row: ResourceInfo, sub: SubresourceInfo) -> str:
    """The definition of what a subresource reads and writes."""
    if sub.kind == row.kind:
        return row.definition
    group, version = (sub.group, sub.version) if sub.version else (row.group, row.version)
    return f"io.k8s.api.{(group or 'core').partition('.')[0]}.{version}.{sub.kind}"

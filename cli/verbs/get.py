"""`kplane get`: objects as tables made by the server, or as text; once, or for as long as they change."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from kplane.api.errors import ApiError, Expired, NotFound
from kplane.api.resource import Object
from kplane.client import codec
from kplane.client.rest import JSON

from . import discovery, outputs
from .arguments import Request, Wanted, parse
from .failures import CommandError, report
from .session import Session
from .tables import ACCEPT, Style, TableWriter

REQUIRED = (
    "You must specify the type of resource to get, such as `kplane get pods`; `kubectl api-resources` lists "
    "them all.\n"
)


@dataclass(frozen=True)
class Options:
    """The flags of `get`, as kubectl has them."""

    output: str = ""
    all_namespaces: bool = False
    selector: str = ""
    field_selector: str = ""
    headers: bool = True
    show_labels: bool = False
    label_columns: tuple[str, ...] = ()
    watch: bool = False
    watch_only: bool = False
    ignore_not_found: bool = False
    chunk_size: int = 500
    managed_fields: bool = False


async def get(session: Session, words: Sequence[str], options: Options) -> int:
    """Print what the words name. Raises CommandError and ApiError."""
    if not words:
        print(REQUIRED, file=sys.stderr)
    # Before anything is asked for: a wrong format must not wait for the server.
    printer = None if options.output in outputs.TABLES else outputs.printer(options.output)
    kinds = await discovery.load(session.client)
    request = parse(words, kinds, selecting=bool(options.selector or options.field_selector))
    reader = Reader(session, options)
    if options.all_namespaces and any(one.name and one.kind.resource.namespaced for one in request.wanted):
        raise CommandError("a resource cannot be retrieved by name across all namespaces")
    if options.watch or options.watch_only:
        return await _watch(reader, request, printer)
    if printer is None:
        return await _print_tables(reader, request)
    return await _print_objects(reader, request, printer)


@dataclass(frozen=True)
class Reader:
    """Asks for what is wanted, in the form that is wanted."""

    session: Session
    options: Options

    async def pages(self, wanted: Wanted, accept: str) -> AsyncIterator[Object]:
        """One object or Table by name, else a list, page by page."""
        query = {} if wanted.name else self._selectors()
        if not wanted.name and self.options.chunk_size:
            query["limit"] = str(self.options.chunk_size)
        path = self._path(wanted)
        while True:
            body = await self.session.client.raw("GET", path, query=query, accept=accept)
            page: Object = msgspec.json.decode(body)
            yield page
            query["continue"] = (page.get("metadata") or {}).get("continue", "")
            if wanted.name or not query["continue"]:
                return

    async def events(self, wanted: Wanted, revision: str, accept: str) -> AsyncGenerator[Object]:
        """Frames of a watch, from a revision on, begun anew whenever the server ends one. Raises ApiError."""
        query = self._selectors() | {"watch": "true", "allowWatchBookmarks": "true"}
        if wanted.name:
            query["fieldSelector"] = f"metadata.name={wanted.name}"
        path = self._path(Wanted(wanted.kind))
        while True:
            query["resourceVersion"] = revision
            async with (
                self.session.client.stream(path, query=query, accept=accept) as stream,
                aclosing(stream.lines()) as lines,  # type: ignore[type-var]
            ):
                async for line in lines:
                    frame = codec.frame(line)
                    if frame.type == "ERROR":
                        raise codec.error_from_frame(frame.object)
                    event: Object = msgspec.json.decode(frame.object)
                    revision = _revision(event) or revision
                    if frame.type != "BOOKMARK":
                        yield event

    def style(self, wanted: Wanted, *, prefixed: bool = False) -> Style:
        options = self.options
        return Style(
            wide=options.output == "wide",
            headers=options.headers,
            namespaces=options.all_namespaces and wanted.kind.resource.namespaced,
            show_labels=options.show_labels,
            label_columns=options.label_columns,
            prefix=wanted.kind.prefix if prefixed else "",
        )

    def _path(self, wanted: Wanted) -> str:
        namespace = self.session.namespace_of(wanted.kind, all_namespaces=self.options.all_namespaces)
        return wanted.kind.resource.path(namespace, wanted.name)

    def _selectors(self) -> dict[str, str]:
        chosen = {"labelSelector": self.options.selector, "fieldSelector": self.options.field_selector}
        return {name: value for name, value in chosen.items() if value}

    def tolerates(self, error: ApiError) -> bool:
        return self.options.ignore_not_found and isinstance(error, NotFound)


def _revision(obj: Object) -> str:
    """Of an object, or of the first row of a Table."""
    revision: str = (obj.get("metadata") or {}).get("resourceVersion", "")
    rows = obj.get("rows") or [{}]
    return revision or ((rows[0].get("object") or {}).get("metadata") or {}).get("resourceVersion", "")


async def _print_tables(reader: Reader, request: Request) -> int:
    """Each kind's rows under their header; what failed comes last, on stderr."""
    errors: list[ApiError] = []
    groups: list[tuple[Wanted, list[Object]]] = []
    for wanted in request.wanted:
        try:
            pages = [page async for page in reader.pages(wanted, ACCEPT)]
        except ApiError as error:
            errors += [] if reader.tolerates(error) else [error]
            continue
        if groups and groups[-1][0].kind == wanted.kind:
            groups[-1][1].extend(pages)
        else:
            groups.append((wanted, pages))
    several = len({wanted.kind for wanted, _ in groups}) > 1
    printed = False
    for wanted, tables in groups:
        separator = "\n" if printed else ""
        writer = TableWriter(_Separated(separator).write, reader.style(wanted, prefixed=several))
        printed = writer.print(tables) or printed
    if not printed and not errors and not reader.options.ignore_not_found:
        _say_that_nothing_is_there(reader, request)
    return max((report(error) for error in errors), default=0)


@dataclass
class _Separated:
    """Standard output, with something in front of what is written first."""

    separator: str

    def write(self, text: str) -> None:
        sys.stdout.write(self.separator + text)
        self.separator = ""


def _say_that_nothing_is_there(reader: Reader, request: Request) -> None:
    namespaced = all(wanted.kind.resource.namespaced for wanted in request.wanted)
    where = f" in {reader.session.namespace} namespace." if namespaced else ""
    print(f"No resources found{'' if reader.options.all_namespaces else where}", file=sys.stderr)


async def _print_objects(reader: Reader, request: Request, printer: outputs.Printer) -> int:
    """Everything as one document: the object, if only one can be meant, else a List."""
    errors: list[ApiError] = []
    objects: list[Object] = []
    for wanted in request.wanted:
        try:
            async for page in reader.pages(wanted, JSON):
                objects += [page] if wanted.name else _items(page, wanted)
        except ApiError as error:
            errors += [] if reader.tolerates(error) else [error]
    if not reader.options.managed_fields:
        for obj in objects:
            obj.get("metadata", {}).pop("managedFields", None)
    if objects and request.single:
        sys.stdout.write(printer(objects[0]))
    elif objects or not (request.single or errors):
        sys.stdout.write(printer(outputs.listed(objects)))
    return max((report(error) for error in errors), default=0)


def _items(page: Object, wanted: Wanted) -> list[Object]:
    """The items of a list, which the server sends without saying again what they are."""
    resource = wanted.kind.resource
    items = page.get("items") or ()
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]


async def _watch(reader: Reader, request: Request, printer: outputs.Printer | None) -> int:
    """What is there, then every change, until interrupted."""
    if len(request.wanted) != 1:
        raise CommandError("you may only specify a single resource type")
    wanted = request.wanted[0]
    accept = ACCEPT if printer is None else JSON
    writer = TableWriter(sys.stdout.write, reader.style(wanted))
    revision = ""
    async for page in reader.pages(wanted, accept):
        revision = _revision(page) or revision
        if not reader.options.watch_only:
            _show(page, wanted, writer, printer)
    try:
        async with aclosing(reader.events(wanted, revision, accept)) as events:
            async for event in events:
                _show(event, wanted, writer, printer)
    except Expired as error:
        raise CommandError(f"the watch lost its place: {error.message}; start it again") from error
    return 0


def _show(obj: Object, wanted: Wanted, writer: TableWriter, printer: outputs.Printer | None) -> None:
    if printer is None:
        writer.print([obj])
    else:
        for item in _items(obj, wanted) if "items" in obj else [obj]:
            item["metadata"].pop("managedFields", None)
            sys.stdout.write(printer(item))
    sys.stdout.flush()

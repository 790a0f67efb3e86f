"""`-f FILE|DIR|-`: the objects that manifests hold, in order, each with the place that it comes from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kplane.api.decode import DecodeError, decode_yaml
from kplane.api.resource import Object

from .arguments import Wanted
from .discovery import Kind, Kinds
from .failures import CommandError
from .session import Session

EXTENSIONS = (".json", ".yaml", ".yml")
STDIN = "STDIN"

_SEPARATOR = re.compile(rb"^---[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file, with its kind and the namespace it belongs into."""

    source: str
    kind: Kind
    body: Object

    @property
    def name(self) -> str:
        name: str = self.body["metadata"].get("name", "")
        return name

    @property
    def namespace(self) -> str:
        namespace: str = self.body["metadata"].get("namespace", "")
        return namespace

    @property
    def path(self) -> str:
        return self.kind.resource.path(self.namespace, self.name)

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that names nothing the server knows; the others are dealt with all the same."""

    error: CommandError


def read(
    places: Sequence[str], session: Session, kinds: Kinds, *, recursive: bool = False
) -> Iterator[Manifest | Failure]:
    """Every object of these files. Raises CommandError for files that cannot be read or parsed."""
    for place in places:
        for source, content in _files(place, recursive):
            for body in _objects(source, content):
                try:
                    yield _manifest(source, body, session, kinds)
                except CommandError as error:
                    yield Failure(error)


def _files(place: str, recursive: bool) -> Iterator[tuple[str, bytes]]:
    if place == "-":
        yield STDIN, sys.stdin.buffer.read()
        return
    if place.startswith(("http://", "https://")):
        raise CommandError(f"{place}: a URL is not read; download it and pass the file, or pipe it into -f -")
    path = Path(place)
    if not path.exists():
        raise CommandError(f'the path "{place}" does not exist')
    if not path.is_dir():
        yield place, _content(path)
        return
    found = sorted(path.rglob("*") if recursive else path.iterdir())
    files = [file for file in found if file.suffix in EXTENSIONS and file.is_file()]
    if not files:
        raise CommandError(
            f"error reading [{place}]: recognized file extensions are [{' '.join(EXTENSIONS)}]"
        )
    for file in files:
        yield str(file), _content(file)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"error reading {path}: {error.strerror}") from error


def _objects(source: str, content: bytes) -> Iterator[Object]:
    """The objects of a file's documents; Lists are taken apart."""
    for document in _SEPARATOR.split(content):
        try:
            body = decode_yaml(document)
        except DecodeError as error:
            raise CommandError(f"error parsing {source}: error converting YAML to JSON: {error}") from error
        if body:
            yield from _flat(source, body)


def _flat(source: str, body: Object) -> Iterator[Object]:
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field), str) or not body[field]:
            raise CommandError(f'error validating "{source}": error validating data: {field} not set')
    if isinstance(body.get("items"), list) and body["kind"].endswith("List"):
        for item in body["items"]:
            yield from _flat(source, item)
    else:
        yield body


def _manifest(source: str, body: Object, session: Session, kinds: Kinds) -> Manifest:
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise CommandError(f"error validating {source!r}: metadata must be an object")
    kind = kinds.by_kind(body["apiVersion"], body["kind"])
    if kind is None:
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        raise CommandError(
            f'resource mapping not found for name: "{name}" namespace: "{namespace}" from "{source}": '
            f'no matches for kind "{body["kind"]}" in version "{body["apiVersion"]}"\n'
            "ensure CRDs are installed first"
        )
    return Manifest(source, kind, body | {"metadata": _placed(metadata, kind, session)})


def _placed(metadata: Object, kind: Kind, session: Session) -> Object:
    """The metadata with the namespace that the object goes to. Raises CommandError."""
    if not kind.resource.namespaced:
        return metadata
    namespace = metadata.get("namespace")
    if namespace and session.namespace_given and namespace != session.namespace:
        raise CommandError(
            f'the namespace from the provided object "{namespace}" does not match the namespace '
            f"\"{session.namespace}\". You must pass '--namespace={namespace}' to perform this operation."
        )
    return metadata | {"namespace": namespace or session.namespace}

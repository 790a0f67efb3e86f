"""The words of a command line that say which objects: `pods`, `pods a b`, `pod/a svc/b`, `pods,services`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .discovery import Kind, Kinds
from .failures import CommandError

NEEDLESS_TYPE = (
    "there is no need to specify a resource type as a separate argument when passing arguments in "
    "resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource "
    "resource/<resource_name>'"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Objects of one kind: the one named, or all of them."""

    kind: Kind
    name: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the words name. `single` if they can only mean one object."""

    wanted: Sequence[Wanted]
    single: bool = False


def parse(words: Sequence[str], kinds: Kinds, *, selecting: bool = False) -> Request:
    """`selecting`: a selector is given, so names must not be. Raises CommandError."""
    if not words:
        raise CommandError("Required resource not specified.")
    if any("/" in word for word in words):
        wanted = [_pair(word, kinds) for word in words]
    else:
        wanted = _by_type(words[0], words[1:], kinds)
    if selecting and any(one.name for one in wanted):
        raise CommandError("name cannot be provided when a selector is specified")
    return Request(wanted, single=len(wanted) == 1 and bool(wanted[0].name))


def _pair(word: str, kinds: Kinds) -> Wanted:
    kind, slash, name = word.partition("/")
    if not slash:
        raise CommandError(NEEDLESS_TYPE)
    if not kind or not name or "/" in name:
        raise CommandError("arguments in resource/name form must have a single resource and name")
    return Wanted(kinds.find(kind), name)


def _by_type(types: str, names: Sequence[str], kinds: Kinds) -> list[Wanted]:
    found: list[Kind] = []
    for word in types.split(","):
        found += kinds.category(word) or [kinds.find(word)]
    unique = list({(kind.resource.group, kind.resource.plural): kind for kind in found}.values())
    return [Wanted(kind, name) for kind in unique for name in names or ("",)]

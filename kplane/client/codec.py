"""From the wire into views: cached decoders for objects, lists and watch frames, and errors from answers.

Reads decode straight from bytes into the view. A body that a view refuses because a field is null (Go writes
some empty lists so) is decoded once more with its nulls left out.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from kplane.api.errors import ApiError, InternalError, from_status
from kplane.api.resource import Object
from kplane.client.transport import Response

T = TypeVar("T")

encode = msgspec.json.encode

UNKNOWN = "the server could not find the requested resource"


class ListMeta(msgspec.Struct, rename="camel", frozen=True):
    resource_version: str = ""
    continue_token: str = msgspec.field(name="continue", default="")
    remaining_item_count: int | None = None


class ListBody(msgspec.Struct, Generic[T], frozen=True):
    """The wire form of any list."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] | None = ()


class Frame(msgspec.Struct, frozen=True):
    """One line of a watch; what its object is depends on `type`."""

    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: ListMeta


class Codec(Generic[T]):
    """The decoders of one view."""

    def __init__(self, view: type[T]) -> None:
        self._view = view
        self._one = msgspec.json.Decoder(view)
        self._list: msgspec.json.Decoder[ListBody[T]] = msgspec.json.Decoder(ListBody[view])  # type: ignore[valid-type]

    def one(self, data: bytes | msgspec.Raw) -> T:
        return _decode(self._one, data, self._view)

    def list(self, data: bytes) -> ListBody[T]:
        return _decode(self._list, data, ListBody[self._view])  # type: ignore[name-defined]


_codecs: dict[Any, Codec[Any]] = {}


def codec(view: type[T]) -> Codec[T]:
    """The decoders of `view`, made once."""
    found = _codecs.get(view)
    if found is None:
        found = _codecs[view] = Codec(view)
    return found


_frame = msgspec.json.Decoder(Frame)
_bookmark = msgspec.json.Decoder(_Bookmark)


def frame(line: bytes) -> Frame:
    return _decode(_frame, line, Frame)


def bookmark_revision(data: msgspec.Raw) -> str:
    return _decode(_bookmark, data, _Bookmark).metadata.resource_version


def revision_of(obj: Any) -> str:
    """The resourceVersion of a view or of a plain object."""
    if isinstance(obj, dict):
        version: str = obj.get("metadata", {}).get("resourceVersion", "")
        return version
    revision: str = obj.metadata.resource_version
    return revision


def uid_of(obj: Any) -> str:
    """The uid of a view or of a plain object."""
    if isinstance(obj, dict):
        found: str = obj.get("metadata", {}).get("uid", "")
        return found
    uid: str = obj.metadata.uid
    return uid


def error_from(response: Response) -> ApiError:
    """The error that an answer with status 400 or more stands for, whoever wrote its body."""
    status = _status(response.body)
    if not status and response.status == 404:
        # No object is missing but the path, or who answers is no API: client-go says so, too.
        cause = {"reason": "UnexpectedServerResponse", "message": text_of(response)}
        status = {"message": UNKNOWN, "details": {"causes": [cause]}}
    elif not status:
        text = text_of(response)
        status = {"message": text} if text else {}
    error = from_status(response.status, status)
    if error.retry_after is None and (after := retry_after(response)) is not None:
        error.retry_after = after
    return error


def text_of(response: Response) -> str:
    """What the body says to people, or its beginning."""
    return response.body.decode(errors="replace").strip()[:1024]


def error_from_frame(data: msgspec.Raw) -> ApiError:
    """The error inside a watch's ERROR frame."""
    status = _status(bytes(data))
    return from_status(int(status.get("code") or 500), status)


def retry_after(response: Response) -> int | None:
    """Seconds from the `Retry-After` header; None where there is none (a date counts as none)."""
    text = response.headers.get("retry-after", "")
    return int(text) if text.isdigit() else None


def _status(body: bytes) -> Object:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) and found.get("kind") == "Status" else {}


def _decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, what: Any) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        found: T = _decode_without_nulls(data, what)
        return found
    except msgspec.DecodeError as error:
        raise InternalError(f"the server's answer is not JSON: {error}") from error


def _decode_without_nulls(data: bytes | msgspec.Raw, what: Any) -> Any:
    try:
        return msgspec.convert(_drop_nulls(msgspec.json.decode(data)), what)
    except msgspec.ValidationError as error:
        name = getattr(what, "__name__", str(what))
        raise InternalError(f"the server's answer does not read as {name}: {error}") from error


def _drop_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_drop_nulls(item) for item in value if item is not None]
    return value

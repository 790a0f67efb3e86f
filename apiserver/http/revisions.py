"""What `resourceVersion`, its match, `continue` and `sendInitialEvents` ask for, and their errors.

Wording: apimachinery `meta/internalversion/validation`, apiserver `storage/continue.go`.
"""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from kplane.api.decode import DecodeError, decode_json
from kplane.api.errors import BadRequest, Expired, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .call import Call
from .requestinfo import is_true

_TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 - a format, no secret
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")
_EXACT, _NOT_OLDER = "Exact", "NotOlderThan"

_WITH_CONTINUE = "resourceVersionMatch is forbidden when continue is provided"

CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)
LIST_EXPIRED = "The resourceVersion for the provided list is too old."


class ContinueExpired(Expired):
    """The snapshot behind a continue token is gone; `token` continues in the present instead."""

    def __init__(self, token: str) -> None:
        super().__init__(CONTINUE_EXPIRED)
        self._token = token

    def status(self) -> Object:
        return super().status() | {"metadata": {"continue": self._token}}


@dataclass(frozen=True, slots=True)
class ListFrom:
    """Which state a list shows: `exact`, or one that is `at_least` so fresh; from key `start` on."""

    at_least: int | None = None
    exact: int = 0
    start: str = ""


def parse_revision(text: str) -> int | None:
    """None where the client named none. Raises BadRequest."""
    if not text:
        return None
    if why := _unreadable(text, text, 2**64):
        fault = Path("resourceVersion").invalid(text, f"strconv.ParseUint: {why}")
        raise BadRequest(f"invalid resource version: {fault}")
    return int(text)


def parse_number(call: Call, name: str) -> int:
    """An option that is a number; 0 where the client gave none. Raises BadRequest."""
    text = call.info.query.get(name)
    if text is None:
        return 0
    digits = text[1:] if text[:1] in ("+", "-") else text
    if why := _unreadable(text, digits, 2**63 + text.startswith("-")):
        raise BadRequest(f"strconv.ParseInt: {why}")
    return int(text)


def check_numbers(call: Call) -> int:
    """The numbers among ListOptions, of which `limit` is returned (0: none). Raises BadRequest."""
    parse_number(call, "timeoutSeconds")
    return max(parse_number(call, "limit"), 0)


def _unreadable(text: str, digits: str, bound: int) -> str:
    """Why Go cannot read a number; empty if it can. `bound`: the first that is too large."""
    shown = msgspec.json.encode(text).decode()
    if not (digits.isascii() and digits.isdigit()):
        return f"parsing {shown}: invalid syntax"
    return f"parsing {shown}: value out of range" if len(digits) > 20 or int(digits) >= bound else ""


def list_from(call: Call, prefix: str, limit: int) -> ListFrom:
    """Raises BadRequest and Invalid for parameters that contradict each other."""
    _refuse(_list_faults(call))
    revision = parse_revision(call.query("resourceVersion"))
    if token := call.query("continue"):
        exact, start = decode_continue(token)
        if revision:
            raise BadRequest("specifying resource version is not allowed when using continue")
        return ListFrom(exact=exact, start=prefix + start)
    match = call.query("resourceVersionMatch")
    # Older clients page through an exact revision by giving a limit without saying "Exact".
    if revision and (match == _EXACT or (limit and not match)):
        return ListFrom(exact=revision)
    return ListFrom(at_least=revision)


def _list_faults(call: Call) -> Iterator[FieldError]:
    match = call.query("resourceVersionMatch")
    path = Path("resourceVersionMatch")
    if match:
        revision = call.query("resourceVersion")
        if not revision:
            yield path.forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        if call.query("continue"):
            yield path.forbidden(_WITH_CONTINUE)
        if match not in (_EXACT, _NOT_OLDER):
            yield path.not_supported(match, (_EXACT, _NOT_OLDER, ""))
        if match == _EXACT and revision == "0":
            yield path.forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in call.info.query:
        yield Path("sendInitialEvents").forbidden("sendInitialEvents is forbidden for list")


def check_watch(call: Call) -> None:
    """Raises Invalid for parameters that contradict each other in a watch."""
    _refuse(_watch_faults(call))


def _watch_faults(call: Call) -> Iterator[FieldError]:
    match = call.query("resourceVersionMatch")
    path = Path("resourceVersionMatch")
    asked = "sendInitialEvents" in call.info.query
    if asked and match != _NOT_OLDER:
        yield path.forbidden(f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER}")
    if not match:
        return
    if not asked:
        yield path.forbidden(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    if match != _NOT_OLDER:
        yield path.not_supported(match, (_NOT_OLDER,))
    if call.query("continue"):
        yield path.forbidden(_WITH_CONTINUE)


def wants_initial_events(call: Call, revision: int | None) -> bool:
    """Whether what exists already is sent as ADDED: unless the client said, where it named no revision."""
    asked = call.info.query.get("sendInitialEvents")
    return is_true(asked) if asked is not None else not revision


def _refuse(faults: Iterator[FieldError]) -> None:
    found = list(faults)
    if found:
        raise invalid("ListOptions", "meta.k8s.io", "", found)


def encode_continue(revision: int, start: str) -> str:
    """A token; revision -1 continues in the present."""
    token = msgspec.json.encode({"v": _TOKEN_VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_continue(token: str) -> tuple[int, str]:
    """Revision (0: the present) and the key to start at, behind the resource's prefix. Raises BadRequest."""
    try:
        fields = decode_json(_token_bytes(token))
    except DecodeError as error:
        raise _bad_token(f": {error}") from error
    revision, start = fields.get("rv", 0), fields.get("start", "")
    if fields.get("v") != _TOKEN_VERSION:
        raise _bad_token(f": server does not recognize this encoded version {fields.get('v', '')}")
    if not isinstance(revision, int) or isinstance(revision, bool) or not isinstance(start, str):
        raise _bad_token(": json: cannot unmarshal its fields")
    if revision == 0:
        raise _bad_token(f": incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not start:
        raise _bad_token(f": encoded start key empty (version {_TOKEN_VERSION})")
    # A token must not lead out of its resource.
    if any(step in ("", ".", "..") for step in start.removeprefix("/").split("/")):
        raise _bad_token(f": {start}")
    return max(revision, 0), start.removeprefix("/")


def _token_bytes(token: str) -> bytes:
    """Raises BadRequest for what is no unpadded base64."""
    wrong = next((index for index, letter in enumerate(token) if letter not in _ALPHABET), len(token))
    try:
        if wrong == len(token):
            return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        pass
    raise _bad_token(f": illegal base64 data at input byte {wrong}")


def _bad_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid{why}")

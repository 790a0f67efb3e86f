"""Why a webhook gave no answer. The texts are those of Go's HTTP client and of client-go.

The text of a CallError is what follows upstream's `failed to call webhook: `; the caller puts it behind the
name of its webhook.
"""

from __future__ import annotations

from typing import Any

from kplane.api.errors import ApiError, InternalError, ServiceUnavailable, from_status


class CallError(Exception):
    """A webhook could not be asked, or did not answer. `status` is what the failure is counted as."""

    def __init__(self, message: str, status: ApiError | None = None) -> None:
        super().__init__(message)
        self.status = status or ServiceUnavailable("error calling webhook")


class BadClientConfig(CallError):
    """The configuration names no server that could be called: upstream's `could not get REST client`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, InternalError(message))


class Unresolved(CallError):
    """The Service is not there, or has no such port, or nothing ready behind it."""


class DialError(CallError):
    """No connection."""


class TlsError(CallError):
    """The server's certificate is not the one that was asked for, or TLS failed otherwise."""


class CallTimeout(CallError):
    """No complete answer in time."""


class Broken(CallError):
    """The connection ended before the answer was complete."""


class BadStatus(CallError):
    """An answer with another code than 200 to 206."""


class BadAnswer(CallError):
    """The body is no JSON object, or too large."""


MAX_SHOWN = 2048
"""Bytes of a body that is no Status which are shown."""

_TEXTS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the "
    "request",
}
_VERBATIM = (403, 406, 415)
"""Codes whose body says more than any text of ours."""


def bad_status(code: int, content_type: str, body: bytes) -> BadStatus:
    """The error for an answer with this code; rules: apimachinery `NewGenericServerResponse`."""
    said = _shown(content_type, body)
    if code in _VERBATIM:
        text = said
    elif code in _TEXTS:
        text = _TEXTS[code]
    elif code >= 500:
        text = f'an error on the server ("{_quotable(said)}") has prevented the request from succeeding'
    else:
        text = f"the server responded with the status code {code} but did not return more information"
    cause: dict[str, Any] = {"reason": "UnexpectedServerResponse", "message": said}
    return BadStatus(text, from_status(code, {"message": text, "details": {"causes": [cause]}}))


def _shown(content_type: str, body: bytes) -> str:
    if content_type and not content_type.startswith("text/"):
        return "unknown"
    return body[:MAX_SHOWN].decode(errors="replace").strip() or "unknown"


def _quotable(text: str) -> str:
    """Go's `%q`, without the quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")

"""Every failure of the API: one class per `reason`, each of which is a `Status` on the wire.

The server raises these and turns them into responses in one place; the client turns responses back into
them, so that `except NotFound` means the same on both sides. Wording: apimachinery `api/errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from kplane.api.field import FieldError


class ApiError(Exception):
    """A request failed. `details` is the Status' `details` object; one that was not given and stays empty is
    not sent."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self._detailed = details is not None
        self.retry_after = retry_after
        """Seconds after which the client should try again; sent as `Retry-After` too."""
        self.http_code = self.code
        """The status code on the wire; differs from `code` only in errors relayed from elsewhere."""
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> dict[str, Any]:
        """The `Status` object of this failure."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details or self._detailed:
            body["details"] = self.details
        body["code"] = self.http_code
        return body


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    code, reason = 410, "Gone"


class Expired(ApiError):
    """The requested resourceVersion or continue token is older than what is kept."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The request could not be completed in its time; it may have happened all the same."""

    code, reason = 504, "Timeout"


class ServerTimeout(ApiError):
    code, reason = 500, "ServerTimeout"


class Unreachable(ApiError):
    """Client side only: no answer came from the server (connection refused, reset, TLS failure)."""

    code, reason = 503, "ServiceUnavailable"


_REASONS = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict,
    Gone, Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
    ServiceUnavailable, Timeout, ServerTimeout,
)  # fmt: skip
_BY_REASON: dict[str, type[ApiError]] = {cls.reason: cls for cls in _REASONS}
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in reversed(_BY_REASON.values())} | {
    409: Conflict
}


def from_status(code: int, status: Mapping[str, Any]) -> ApiError:
    """The error that a response with this HTTP code and `Status` body stands for."""
    cls = _BY_REASON.get(status.get("reason", "")) or _BY_CODE.get(code, ApiError)
    message = status.get("message") or f"the server answered with status code {code}"
    details = status.get("details")
    error = cls(message, details) if cls is not ApiError else ApiError(message, details)
    error.retry_after = error.details.get("retryAfterSeconds")
    error.http_code = code
    return error


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{resource}.{group}" if group else resource


def _details(group: str, kind: str, name: str, uid: str = "") -> dict[str, Any]:
    details = {"name": name, "group": group, "kind": kind, "uid": uid}
    return {key: value for key, value in details.items() if value}


def not_found(resource: str, group: str, name: str) -> NotFound:
    return NotFound(f'{qualified(resource, group)} "{name}" not found', _details(group, resource, name))


def already_exists(resource: str, group: str, name: str) -> AlreadyExists:
    return AlreadyExists(
        f'{qualified(resource, group)} "{name}" already exists', _details(group, resource, name)
    )


def conflict(resource: str, group: str, name: str, why: str) -> Conflict:
    message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return Conflict(message, _details(group, resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
"""The `why` of a `conflict` in which the resourceVersion was stale."""


def forbidden(resource: str, group: str, name: str, why: str) -> Forbidden:
    subject = f'{qualified(resource, group)} "{name}"' if name else qualified(resource, group)
    return Forbidden(f"{subject} is forbidden: {why}", _details(group, resource, name))


MAX_FAULTS = 1000
"""Faults that a refusal tells; beyond that, an answer would be larger than any client reads."""


def invalid(kind: str, group: str, name: str, errors: Iterable[FieldError]) -> Invalid:
    """422 with every fault in the message and in `details.causes`, up to MAX_FAULTS of them."""
    faults: Sequence[FieldError] = list(islice(errors, MAX_FAULTS))
    texts = list(dict.fromkeys(str(fault) for fault in faults))
    body = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(group, kind, name) | {"causes": [fault.cause() for fault in faults]}
    return Invalid(f'{qualified(kind, group)} "{name}" is invalid: {body}', details)

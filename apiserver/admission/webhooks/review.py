"""AdmissionReview: what a webhook is asked, and what it may answer.

Versions v1 and v1beta1. Rules and texts: apiserver `admission/plugin/webhook/request` and `…/errors`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplane.api import errors
from kplane.api.errors import ApiError
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ...auth.user import User
from ..chain import Attributes
from ..matching import is_namespace

GROUP = "admission.k8s.io"
KNOWN_VERSIONS = ("v1", "v1beta1")
JSON_PATCH = "JSONPatch"


class BadReview(Exception):
    """An answer that breaks the protocol; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a webhook is shown of a request: the objects in the version of `row`, the kind among them."""

    row: ResourceInfo
    kind: ResourceInfo
    object: Object | None
    old: Object | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A well-formed answer. `patch` are the operations' bytes, empty for none."""

    allowed: bool
    patch: bytes = b""
    patch_type: str = ""
    result: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def review_version(versions: Sequence[str]) -> str:
    """The first version of the webhook's that is known here. Raises BadReview."""
    for version in versions:
        if version in KNOWN_VERSIONS:
            return version
    raise BadReview("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def request(version: str, uid: str, attributes: Attributes, shown: Shown) -> Object:
    """The AdmissionReview that is sent."""
    body = {"uid": uid, **described(attributes, shown), "object": shown.object, "oldObject": shown.old}
    return {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": body}


def described(attributes: Attributes, shown: Shown) -> Object:
    """The request without uid and objects; texts that say nothing are left out."""
    asked, kind = attributes.info, attributes.shape
    body: Object = {
        "kind": _group_version_kind(shown.kind),
        "resource": _group_version_resource(shown.row),
        "subResource": attributes.subresource,
        "requestKind": _group_version_kind(kind),
        "requestResource": _group_version_resource(asked),
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": _namespace(attributes),
        "operation": attributes.operation.value,
        "userInfo": _user_info(attributes.user),
    }
    body = {name: value for name, value in body.items() if value}
    return body | {"dryRun": attributes.dry_run, "options": attributes.options}


def _group_version_kind(row: ResourceInfo) -> Object:
    return {"group": row.group, "version": row.version, "kind": row.kind}


def _group_version_resource(row: ResourceInfo) -> Object:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def _namespace(attributes: Attributes) -> str:
    """A request for a Namespace counts as one in that namespace."""
    return attributes.name if is_namespace(attributes) else attributes.namespace


def _user_info(user: User) -> Object:
    info: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {name: list(values) for name, values in user.extra.items()}
    return {name: value for name, value in info.items() if value}


def verdict(version: str, uid: str, answer: Object, *, mutating: bool) -> Verdict:
    """Read the AdmissionReview that came back. Raises BadReview."""
    response = answer.get("response")
    if response is None:
        raise BadReview("webhook response was absent")
    if not isinstance(response, dict):
        raise BadReview("json: cannot unmarshal AdmissionReview.response into Go value")
    if version == "v1":
        _check_identity(uid, answer, response)
    read = _Reader(response)
    patch, patch_type = _patch(read, version, mutating=mutating)
    return Verdict(
        allowed=read.boolean("allowed"),
        patch=patch,
        patch_type=patch_type,
        result=read.mapping("status"),
        warnings=read.strings("warnings"),
        annotations={str(key): str(value) for key, value in read.mapping("auditAnnotations").items()},
    )


def _check_identity(uid: str, answer: Object, response: Object) -> None:
    if response.get("uid") != uid:
        raise BadReview(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    group, _, version = str(answer.get("apiVersion", "")).rpartition("/")
    got = f"{group}/{version}, Kind={answer.get('kind', '')}"
    if got != f"{GROUP}/v1, Kind=AdmissionReview":
        raise BadReview(f"expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {got}")


def _patch(read: _Reader, version: str, *, mutating: bool) -> tuple[bytes, str]:
    patch, kind = read.decoded("patch"), read.text("patchType")
    if version != "v1":
        # There the type was never looked at, and a validating webhook's patch is ignored.
        return (patch, JSON_PATCH) if mutating and patch else (b"", "")
    if not mutating:
        if patch:
            raise BadReview("validating webhook may not return response.patch")
        if kind is not None:
            raise BadReview("validating webhook may not return response.patchType")
        return b"", ""
    if patch and kind is None:
        raise BadReview("webhook returned response.patch but not response.patchType")
    if not patch and kind is not None:
        raise BadReview("webhook returned response.patchType but not response.patch")
    if kind == "":
        raise BadReview('webhook returned invalid response.patchType of ""')
    return patch, kind or ""


class _Reader:
    """Typed fields of a response. All methods raise BadReview for another type."""

    def __init__(self, response: Object) -> None:
        self._response = response

    def text(self, name: str) -> str | None:
        found: str | None = self._typed(name, str, None)
        return found

    def boolean(self, name: str) -> bool:
        return bool(self._typed(name, bool, False))

    def mapping(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._typed(name, dict, {})
        return found

    def strings(self, name: str) -> Sequence[str]:
        return [entry for entry in self._typed(name, list, []) if isinstance(entry, str)]

    def decoded(self, name: str) -> bytes:
        """Base64, as bytes are in JSON."""
        try:
            return base64.b64decode(self.text(name) or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadReview(f"illegal base64 data in response.{name}") from error

    def _typed(self, name: str, kind: type, absent: Any) -> Any:
        value = self._response.get(name)
        if value is None:
            return absent
        if not isinstance(value, kind):
            raise BadReview(f"json: cannot unmarshal AdmissionResponse.response.{name}: wrong type")
        return value


class Denied(ApiError):
    """A webhook said no. Code, reason and details are the webhook's."""

    def __init__(self, message: str, status: Mapping[str, Any], code: int) -> None:
        details = status.get("details")
        super().__init__(message, details if isinstance(details, dict) else None)
        self.http_code = code
        self._reason = status.get("reason") if isinstance(status.get("reason"), str) else ""

    def status(self) -> dict[str, Any]:
        body = super().status()
        body.pop("reason", None)
        code = body.pop("code")
        if self._reason:
            body["reason"] = self._reason
        return body | {"code": code}


def denial(webhook: str, result: Mapping[str, Any] | None) -> Denied:
    """The error for a refusal; a code below 400 is no refusal's and becomes 400."""
    result = result or {}
    code = result.get("code")
    code = code if isinstance(code, int) and code >= errors.BadRequest.code else errors.BadRequest.code
    denied = f'admission webhook "{webhook}" denied the request'
    why = result.get("message") or result.get("reason")
    return Denied(f"{denied}: {why}" if why else f"{denied} without explanation", result, min(code, 599))

"""One request's audit event while it grows: from the request's head to the end of the response.

The boundary and the decoders tell it what they see; `Auditor` sends what has become of it. A level below
`Request` never holds a body, so a Secret's value cannot get into it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
import yaml

from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..auth.authorizer import Verdict
from ..auth.user import User
from ..http import binary
from .event import AuthenticationMetadata, Event, ObjectReference, ResponseStatus, info_of
from .latency import AUTHORIZATION, Latencies
from .policy import Level, Rule, Stage

PATCH = "patch.webhook.admission.k8s.io/"
"""Annotations with parts of objects: for levels that have the objects as well."""
_DECISION, _REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_STATUS_STARTS = (
    b'{"kind":"Status"',
    b'{\n  "kind": "Status"',
    b"k8s\0\n\x0c\n\x02v1\x12\x06Status",
)
_LONGEST_STATUS = 256 * 1024

OnStart: TypeAlias = "Callable[[Recording], Awaitable[None]]"

log = logging.getLogger(__name__)


class Recording:
    """`long_running`: has a stage when its response starts. `refused`: nobody was let in, so that there is no
    other stage than that one."""

    def __init__(
        self,
        event: Event,
        rule: Rule,
        on_start: OnStart,
        latencies: Latencies,
        *,
        long_running: bool,
        refused: bool = False,
    ) -> None:
        self._on_start = on_start
        self.latencies = latencies
        self.event = event
        self.rule = rule
        self.level = rule.level
        self.long_running = long_running
        self.refused = refused
        self.panic = ""
        """What kind of fault broke the request off."""
        self.started = False
        self._media_type = b""
        self._body: list[bytes] | None = None
        self._collected = 0

    def annotate(self, key: str, value: str) -> None:
        """The first value of a key stays."""
        if key.startswith(PATCH) and self.level < Level.REQUEST:
            return
        notes = self.event.annotations
        if notes is None:
            notes = self.event.annotations = {}
        if notes.setdefault(key, value) != value:
            log.warning("audit annotation set twice key=%s auditID=%s", key, self.event.audit_id)

    def authorized(self, verdict: Verdict, seconds: float) -> None:
        self.latencies.add(AUTHORIZATION, seconds)
        if verdict.allowed or not verdict.error:
            self.annotate(_DECISION, "allow" if verdict.allowed else "forbid")
            self.annotate(_REASON, verdict.reason)
        else:
            self.annotate(_REASON, "internal error")

    def impersonated(self, user: User, constraint: str) -> None:
        """`constraint`: the verb that allowed it, if it was one for certain requests."""
        self.event.impersonated_user = info_of(user)
        if constraint:
            self.event.authentication_metadata = AuthenticationMetadata(constraint)

    def requested(self, obj: Object, row: ResourceInfo | None) -> None:
        """The object of the request's body, as it was decoded; `row` is None for options, which name no
        object."""
        if row is not None:
            self._complete_reference(obj, row)
        if self.level >= Level.REQUEST:
            self._keep(obj)

    def defaulted(self, obj: Object, default: Callable[[Object], None]) -> None:
        """The same object, whose defaults are filled in for the record: what is given stays as it is."""
        if self.level >= Level.REQUEST:
            shown = duplicate(obj)
            default(shown)
            self._keep(shown)

    def _keep(self, obj: Object) -> None:
        if self.rule.omits_managed_fields:
            obj = without_managed_fields(obj)
        self.event.request_object = msgspec.Raw(msgspec.json.encode(obj))

    def _complete_reference(self, obj: Object, row: ResourceInfo) -> None:
        reference = self.event.object_ref
        if reference is None:
            reference = self.event.object_ref = ObjectReference()
        meta = obj.get("metadata")
        if isinstance(meta, dict):
            reference.namespace = reference.namespace or str(meta.get("namespace") or "")
            reference.name = reference.name or str(meta.get("name") or "")
            reference.uid = reference.uid or str(meta.get("uid") or "")
            reference.resource_version = reference.resource_version or str(meta.get("resourceVersion") or "")
        if not reference.api_version:
            reference.api_group, reference.api_version = row.group, row.version
        reference.resource = reference.resource or row.plural

    def patched(self, body: bytes) -> None:
        """The patch in the request's body; an applied configuration may be YAML."""
        if self.level >= Level.REQUEST:
            self.event.request_object = _one_line(body) or _from_yaml(body)

    async def responds(self, code: int, media_type: bytes = b"") -> None:
        """The head of the response goes out, or the connection leaves HTTP (101)."""
        self.started = True
        self._media_type = media_type
        known = self.event.response_status
        message = known.message if known is not None else ""
        self.event.response_status = ResponseStatus({}, code=code, message=message)
        if self.long_running or self.refused:
            await self._on_start(self)

    def body(self, part: bytes) -> None:
        """A part of the response goes out."""
        if self.long_running or self.refused:
            return
        if self._body is None:
            if self.level < Level.REQUEST_RESPONSE and not part.startswith(_STATUS_STARTS):
                self._body = []
                self._collected = _LONGEST_STATUS
                return
            self._body = []
        self._collected += len(part)
        if self.level >= Level.REQUEST_RESPONSE or self._collected <= _LONGEST_STATUS:
            self._body.append(part)

    def complete(self) -> None:
        """The request has ended: what was sent is read."""
        code = self.event.response_status.code if self.event.response_status else 0
        if self._body:
            self._read_answer(b"".join(self._body), code)
        if self.event.response_status is None:
            self.event.response_status = CLOSED_EARLY
        for note in self.latencies.annotations().items():
            self.annotate(*note)

    def _read_answer(self, body: bytes, code: int) -> None:
        """Large lists are looked into no further than they must be."""
        raw = self._as_json(body)
        head = _head_of(raw)
        if raw is None or not head.kind:
            return
        if (head.kind, head.api_version) == ("Status", "v1"):
            self.event.response_status = _status(msgspec.json.decode(raw), code)
        if self.level < Level.REQUEST_RESPONSE:
            return
        if self.rule.omits_managed_fields:
            raw = msgspec.Raw(msgspec.json.encode(without_managed_fields(msgspec.json.decode(raw))))
        self.event.response_object = raw

    def _as_json(self, body: bytes) -> msgspec.Raw | None:
        if b"yaml" in self._media_type:
            return _from_yaml(body)
        if b"protobuf" in self._media_type:
            return msgspec.Raw(msgspec.json.encode(binary.read(body)))
        return _one_line(body)

    def panicked(self) -> None:
        message = f"APIServer panic'd: {self.panic}"
        self.event.response_status = ResponseStatus({}, "Failure", message, "InternalError", code=500)

    def omits(self, stage: Stage) -> bool:
        return stage in self.rule.omits


CLOSED_EARLY = ResponseStatus({}, "Success", "Connection closed early", code=200)
"""Of a request that ended without an answer."""


def _status(found: Object, code: int) -> ResponseStatus:
    return ResponseStatus(
        {},
        found.get("status") or "",
        found.get("message") or "",
        found.get("reason") or "",
        found.get("details") or None,
        found.get("code") or code,
    )


def without_managed_fields(obj: Object) -> Object:
    """An object, a list or a Table without `metadata.managedFields`; what is given stays as it is."""
    shown = dict(obj)
    if isinstance(obj.get("metadata"), dict) and "managedFields" in obj["metadata"]:
        shown["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if isinstance(obj.get("items"), list):
        shown["items"] = [_stripped(item) for item in obj["items"]]
    if obj.get("kind") == "Table" and isinstance(obj.get("rows"), list):
        shown["rows"] = [
            row | {"object": _stripped(row["object"])} if isinstance(row, dict) and "object" in row else row
            for row in obj["rows"]
        ]
    return shown


def _stripped(item: Any) -> Any:
    return without_managed_fields(item) if isinstance(item, dict) else item


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    api_version: str = ""


_heads = msgspec.json.Decoder(_Head)


def _head_of(raw: msgspec.Raw | None) -> _Head:
    """What an answer says that it is; nothing where it is no object."""
    try:
        return _heads.decode(raw) if raw is not None else _Head()
    except (msgspec.DecodeError, RecursionError):
        return _Head()


def _one_line(body: bytes) -> msgspec.Raw | None:
    """JSON without line ends; None where it is none."""
    try:
        body.decode()  # What lays JSON out does not look into strings.
        return msgspec.Raw(msgspec.json.format(body, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _from_yaml(body: bytes) -> msgspec.Raw | None:
    try:
        return msgspec.Raw(msgspec.json.encode(yaml.safe_load(body)))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError):
        return None

"""The form of an audit event: audit.k8s.io/v1 Event, and its one-line legacy form.

Source: apiserver `pkg/apis/audit/v1/types.go`, `pkg/audit/format.go`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..auth.user import User
from .policy import Stage

VERSION = "audit.k8s.io/v1"


class UserInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class ObjectReference(msgspec.Struct, rename="camel", omit_defaults=True):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    resource_version: str = ""
    subresource: str = ""


class ResponseStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    metadata: dict[str, str]
    status: str = ""
    message: str = ""
    reason: str = ""
    details: Any = None
    code: int = 0


class AuthenticationMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """How the request came by its identity."""

    impersonation_constraint: str


class Event(msgspec.Struct, rename="camel", omit_defaults=True):
    """`request_object` and `response_object` are JSON of one line."""

    kind: str
    api_version: str
    level: str
    audit_id: str = msgspec.field(name="auditID")
    stage: Stage
    request_uri: str = msgspec.field(name="requestURI")
    verb: str
    user: UserInfo
    impersonated_user: UserInfo | None = None
    authentication_metadata: AuthenticationMetadata | None = None
    source_ips: Sequence[str] = msgspec.field(default=(), name="sourceIPs")
    user_agent: str = ""
    object_ref: ObjectReference | None = None
    response_status: ResponseStatus | None = None
    request_object: msgspec.Raw | None = None
    response_object: msgspec.Raw | None = None
    request_received_timestamp: str = ""
    stage_timestamp: str = ""
    annotations: dict[str, str] | None = None

    def at(self, stage: Stage, timestamp: str) -> Event:
        """The event of a stage: a copy that later stages leave alone."""
        found = msgspec.structs.replace(self, stage=stage, stage_timestamp=timestamp)
        if self.object_ref is not None:
            found.object_ref = msgspec.structs.replace(self.object_ref)
        if self.annotations is not None:
            found.annotations = dict(self.annotations)
        return found


_encoder = msgspec.json.Encoder()


def encoded(event: Event) -> bytes:
    """JSON of one line, without its end."""
    return _encoder.encode(event)


def info_of(user: User) -> UserInfo:
    return UserInfo(user.name, user.uid, user.groups, user.extra)


def legacy_line(event: Event) -> str:
    """The form of `--audit-log-format legacy`, without its end."""
    user, other = event.user, event.impersonated_user
    groups = _listed(user.groups) if user.username and user.groups else "<none>"
    acting = (other.username, _listed(other.groups)) if other is not None else ("<self>", "<lookup>")
    namespace = (event.object_ref.namespace if event.object_ref else "") or "<none>"
    response = str(event.response_status.code) if event.response_status else "<deferred>"
    address = event.source_ips[0] if event.source_ips else "<unknown>"
    fields = {
        "id": event.audit_id,
        "stage": event.stage.value,
        "ip": address,
        "method": event.verb,
        "user": user.username or "<none>",
        "groups": groups,
        "as": acting[0],
        "asgroups": acting[1],
        "user-agent": event.user_agent,
        "namespace": namespace,
        "uri": event.request_uri,
        "response": response,
    }
    said = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
    return f"{event.request_received_timestamp} AUDIT: {said}"


def _listed(names: Sequence[str]) -> str:
    return ",".join(json.dumps(name, ensure_ascii=False) for name in names)

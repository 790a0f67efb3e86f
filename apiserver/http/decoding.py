"""Request bodies into objects of the resource that they are sent to, checked against its schema.

What is wrong with a body is either refused (it cannot be read, it is of another kind, a field has the wrong
type) or, where it is only superfluous, treated as `fieldValidation` says. Bodies are JSON, YAML or protobuf.
"""

from __future__ import annotations

from kplane.api import protobuf, schema
from kplane.api.check import Checked, cannot_handle, check, strict_faults
from kplane.api.decode import (
    DecodeError,
    decode_json,
    decode_yaml_strictly,
    duplicate_keys,
    in_order_of,
    unrecognized,
)
from kplane.api.errors import BadRequest, Invalid, invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion, ResourceInfo
from kplane.api.sound import decode_sound

from .call import Call
from .negotiation import JSON, PROTOBUF, YAML, input_of, unsupported

MAX_FIELD_MANAGER = 128
_POLICIES = ("", "Ignore", "Strict", "Warn")
_METADATA_ALONE = schema.Node("object", {"metadata": schema.node(f"{schema.META}ObjectMeta")})


def options_invalid(kind: str, field: str, value: str, supported: tuple[str, ...]) -> Invalid:
    fault = Path(field).not_supported(value, supported)
    return invalid(kind, "meta.k8s.io", "", [fault])


def field_validation(call: Call, options_kind: str) -> str:
    """Ignore, Strict or Warn. Raises Invalid."""
    policy = call.query("fieldValidation")
    if policy not in _POLICIES:
        raise options_invalid(options_kind, "fieldValidation", policy, _POLICIES)
    return policy or "Warn"


def dry_run(call: Call, options_kind: str) -> bool:
    """Whether nothing is to be stored. Raises Invalid."""
    value = call.info.query.get("dryRun")
    if value not in (None, "All"):
        raise options_invalid(options_kind, "dryRun", value, ("All",))
    return value == "All"


def field_manager(call: Call, options_kind: str) -> str:
    """Who is recorded as the manager of what is written: as asked, or by the User-Agent. Raises Invalid."""
    manager = call.query("fieldManager")
    if not manager:
        agent = call.header(b"user-agent").partition("/")[0]
        printable = agent if agent.isprintable() else "".join(filter(str.isprintable, agent))
        return printable[:MAX_FIELD_MANAGER]
    faults = []
    if len(manager.encode()) > MAX_FIELD_MANAGER:
        faults.append(Path("fieldManager").too_long(MAX_FIELD_MANAGER))
    for index, letter in enumerate(manager):
        if not letter.isprintable():
            text = f"invalid character U+{ord(letter):04X} (at position {index})"
            faults.append(Path("fieldManager").invalid(manager, text))
    if faults:
        raise invalid(options_kind, "meta.k8s.io", "", faults)
    return manager


async def read_object(call: Call, row: ResourceInfo, options_kind: str) -> Object:
    """The object in the body of a create or update of `row`'s kind."""
    body = await call.body()
    policy = field_validation(call, options_kind)
    is_json = _media_type(call) == JSON
    obj = decode_sound(body, row.definition) if is_json and not row.custom else None
    if obj is not None:
        _check_kind(obj, row, body)
        _complete(obj, row)
    else:
        obj, repeated = _read(call, body, row.kind, row.definition, look=policy != "Ignore")
        _check_kind(obj, row, body)
        check_fields(call, obj, row, policy, repeated, body if is_json else b"")
    if call.audit is not None:
        call.audit.requested(obj, row)
    return obj


def parse(call: Call, body: bytes, kind: str, definition: str) -> Object:
    """The object of a body that should hold one of this kind. Raises BadRequest and UnsupportedMediaType."""
    return _read(call, body, kind, definition, look=False)[0]


def _read(call: Call, body: bytes, kind: str, definition: str, *, look: bool) -> tuple[Object, list[str]]:
    """The same, and with `look` strict decoding's texts for keys that the body repeats. Protobuf merges what
    is repeated, or takes the last."""
    media_type = _media_type(call)
    if media_type == PROTOBUF:
        return _parse_protobuf(body, kind, definition), []
    try:
        if media_type != JSON:
            obj, repeated = decode_yaml_strictly(body)
            return obj, repeated if look else []
        obj = decode_json(body)
    except DecodeError as error:
        raise BadRequest(unrecognized(kind, str(error), body)) from error
    return obj, strict_faults([], duplicate_keys(body, obj)) if look else []


def _media_type(call: Call) -> str:
    return input_of(call.header(b"content-type"))


def _parse_protobuf(body: bytes, kind: str, definition: str) -> Object:
    if not protobuf.is_known(definition):
        raise unsupported(JSON, YAML)
    try:
        envelope = protobuf.unwrap(body)
    except DecodeError as error:
        raise BadRequest(unrecognized(kind, str(error), body)) from error
    named = {"kind": envelope.kind or kind, "apiVersion": envelope.api_version}
    if envelope.kind not in ("", kind):
        # Its bytes are of another message; the caller refuses it by its name.
        return named
    try:
        return protobuf.decode(envelope.raw, definition) | named
    except DecodeError as error:
        version = envelope.api_version.rpartition("/")[2]
        raise BadRequest(cannot_handle(kind, version, str(error))) from error


def check_fields(
    call: Call, obj: Object, row: ResourceInfo, policy: str, repeated: list[str], body: bytes = b""
) -> None:
    """Types must be right; unknown fields are dropped. Fills in metadata, kind and apiVersion. `body` is the
    JSON that the object was read from, if it was."""
    found = check_custom(obj, row.custom) if row.custom else check(obj, row.node)
    if found.errors:
        raise BadRequest(cannot_handle(row.kind, row.version, found.errors[0]))
    faults = repeated + strict_faults(found.unknown, [])
    if body and repeated and found.unknown:
        faults = in_order_of(body, faults)
    if policy == "Strict" and faults:
        strict = "strict decoding error: " + ", ".join(faults)
        raise BadRequest(cannot_handle(row.kind, row.version, strict))
    if policy == "Warn":
        for text in faults:
            call.warn(text)
    _complete(obj, row)


def _complete(obj: Object, row: ResourceInfo) -> None:
    obj["kind"], obj["apiVersion"] = row.kind, row.api_version
    obj.setdefault("metadata", {})


def check_custom(obj: Object, custom: CustomVersion) -> Checked:
    """The same for a custom resource: the types of its metadata alone, the rest is validated later."""
    obj.setdefault("metadata", {})
    if obj["metadata"] is None:
        obj["metadata"] = {}
    found = check({"metadata": obj["metadata"]}, _METADATA_ALONE)
    found.unknown += custom.schema.prune(obj)
    return found


def _check_kind(obj: Object, row: ResourceInfo, body: bytes) -> None:
    for name in ("kind", "apiVersion"):
        if not isinstance(obj.get(name, ""), str):
            raise BadRequest(unrecognized(row.kind, f"couldn't get version/kind; {name} is no string", body))
    kind, api_version = obj.get("kind") or row.kind, obj.get("apiVersion") or row.api_version
    if api_version != row.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({row.api_version})"
        )
    if kind != row.kind:
        version = row.version
        raise BadRequest(
            f'{kind} in version "{version}" cannot be handled as a {row.kind}: '
            f"converting ({version}.{kind}) to ({version}.{row.kind}): unknown conversion"
        )

"""The options of DELETE: from the body where there is one, else from the query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kplane.api.errors import BadRequest, invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.schema import META

from ..registry.deletion import DeleteOptions
from .call import Call
from .decoding import options_invalid, parse
from .requestinfo import is_true
from .revisions import parse_number

_DEFINITION = f"{META}DeleteOptions"
_POLICIES = ("Foreground", "Background", "Orphan")


_VERSIONED: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal"}
"""What options that name no version are recorded as, by upstream, too."""


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    options: DeleteOptions
    dry_run: bool
    fields: Mapping[str, Any]
    """What was asked, as it was written, without kind and apiVersion."""


async def read_delete(call: Call) -> DeleteRequest:
    """Raises BadRequest and Invalid."""
    body = await call.body()
    fields = parse(call, body, "DeleteOptions", _DEFINITION) if body.strip() else _from_query(call)
    if fields.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest(f"{fields['kind']} cannot be handled as a DeleteOptions: unknown conversion")
    if call.audit is not None and body.strip():
        call.audit.requested(_VERSIONED | fields, None)
    return read_options(fields)


def read_options(fields: Object) -> DeleteRequest:
    """The options of a DeleteOptions object. Raises BadRequest and Invalid."""
    asked = {name: value for name, value in fields.items() if name not in ("kind", "apiVersion")}
    return DeleteRequest(_options(fields), _dry_run(fields), asked)


def _from_query(call: Call) -> Object:
    query = call.info.query
    fields: Object = {}
    if "gracePeriodSeconds" in query:
        fields["gracePeriodSeconds"] = parse_number(call, "gracePeriodSeconds")
    if policy := query.get("propagationPolicy"):
        fields["propagationPolicy"] = policy
    if "orphanDependents" in query:
        fields["orphanDependents"] = is_true(query["orphanDependents"])
    if "dryRun" in query:
        fields["dryRun"] = [query["dryRun"]]
    return fields


def _options(fields: Object) -> DeleteOptions:
    preconditions = fields.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise _wrong_type("preconditions", preconditions)
    seconds = fields.get("gracePeriodSeconds")
    if seconds is not None and (not isinstance(seconds, int) or isinstance(seconds, bool)):
        raise _wrong_type("gracePeriodSeconds", seconds)
    return DeleteOptions(
        grace_seconds=None if seconds is None else max(seconds, 0),
        propagation=_propagation(fields),
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
    )


def _propagation(fields: Object) -> str:
    policy, orphan = fields.get("propagationPolicy"), fields.get("orphanDependents")
    if policy is not None and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        fault = Path("propagationPolicy").invalid(policy, why)
        raise invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    if policy is not None and policy not in _POLICIES:
        raise options_invalid("DeleteOptions", "propagationPolicy", policy, (*_POLICIES, "nil"))
    if orphan is not None:
        return "Orphan" if orphan else "Background"
    return policy or ""


def _dry_run(fields: Object) -> bool:
    values = fields.get("dryRun") or []
    if not isinstance(values, list):
        raise _wrong_type("dryRun", values)
    for value in values:
        if value != "All":
            raise options_invalid("DeleteOptions", "dryRun", value, ("All",))
    return bool(values)


def _wrong_type(field: str, value: Any) -> BadRequest:
    shown = msgspec.json.encode(value).decode()
    return BadRequest(
        'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal '
        f"{shown} into Go struct field DeleteOptions.{field}"
    )

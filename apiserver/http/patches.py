"""PATCH: a patch document becomes a Change of the stored object."""

from __future__ import annotations

from typing import Any

import msgspec

from kplane.api.decode import DecodeError, decode_json
from kplane.api.errors import BadRequest, invalid
from kplane.api.field import Path
from kplane.api.patches import json_patch, merge, strategic
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..registry.writing import Change
from .applies import APPLY_PATCH
from .call import Call
from .decoding import check_fields, field_validation
from .negotiation import unsupported

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_IDENTITY = ("name", "namespace")


def patch_type(call: Call) -> str:
    return call.header(b"content-type").partition(";")[0].strip().lower()


async def read_patch(call: Call, row: ResourceInfo, *, custom: bool = False) -> Change:
    """Raises UnsupportedMediaType and BadRequest; the change itself raises BadRequest and Invalid.

    `custom`: the endpoint is a custom resource's, though `row` may be that of its Scale.
    """
    kind = patch_type(call)
    # Custom resources have no merge keys and strategies.
    known = (JSON_PATCH, MERGE_PATCH) if custom else (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
    if kind not in known:
        raise unsupported(*known, APPLY_PATCH)
    if "force" in call.info.query:
        fault = Path("force").forbidden("may not be specified for non-apply patch")
        raise invalid("PatchOptions", "meta.k8s.io", "", [fault])
    policy = field_validation(call, "PatchOptions")
    body = await call.body()
    if call.audit is not None:
        call.audit.patched(body)
    patch = _parse(body, kind)

    def change(obj: Object) -> Object:
        was = obj["metadata"]
        patched = _apply(kind, obj, patch, row)
        check_fields(call, patched, row, policy, [])
        _check_identity(patched["metadata"], was)
        return patched

    return change


def _parse(body: bytes, kind: str) -> Any:
    try:
        if kind != JSON_PATCH:
            return decode_json(body)
        return msgspec.json.decode(body)
    except (DecodeError, msgspec.DecodeError) as error:
        raise BadRequest(f"error decoding patch: {error}") from error


def _apply(kind: str, obj: Object, patch: Any, row: ResourceInfo) -> Object:
    if kind == JSON_PATCH:
        return json_patch(obj, patch)
    if kind == MERGE_PATCH:
        return merge(obj, patch)
    return strategic(obj, patch, row.node)


def _check_identity(new: Object, old: Object) -> None:
    if new.get("name") != old["name"]:
        raise BadRequest(
            f"the name of the object ({new.get('name', '')}) does not match the name on the URL "
            f"({old['name']})"
        )
    if new.get("namespace", "") != old.get("namespace", ""):
        raise BadRequest(
            f"the namespace of the object ({new.get('namespace', '')}) does not match the namespace on the "
            f"request ({old.get('namespace', '')})"
        )

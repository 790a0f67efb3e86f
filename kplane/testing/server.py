"""The fake API server: what requests do to the stored objects.

It keeps to the API where controllers depend on it (names, uids, generations, preconditions, status apart from
the rest, finalizers, graceful deletion of Pods) and leaves out validation, defaulting and admission.
`tests/client/contract` holds it to the behaviour of the real server.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import msgspec

from kplane.api import errors, schema
from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.field import Path
from kplane.api.patches import json_patch, merge, strategic
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, Scheme, builtin
from kplane.testing import rules
from kplane.testing.state import Filter, State, Table, Watch

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
NAMELESS = "name or generateName is required"


@dataclass(frozen=True)
class Target:
    """What a path names."""

    row: ResourceInfo
    namespace: str
    name: str
    subresource: str

    @property
    def table(self) -> Table:
        return self.row.group, self.row.plural

    @property
    def key(self) -> Key:
        return Key(self.namespace if self.row.namespaced else "", self.name)

    def missing(self) -> errors.NotFound:
        return errors.not_found(self.row.plural, self.row.group, self.name)

    def conflict(self, why: str) -> errors.Conflict:
        return errors.conflict(self.row.plural, self.row.group, self.name, why)


class FakeServer:
    """Answers requests at once, from memory."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self.state = State()
        self.scheme: Scheme = builtin()
        self._clock = clock
        self._entropy = entropy

    def handle(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, content_type: str
    ) -> tuple[int, Object]:
        """Status code and body. Raises ApiError."""
        target = self.target(path)
        sent = msgspec.json.decode(body) if body else {}
        if method == "GET":
            return 200, self._get(target) if target.name else self._list(target, query)
        if method == "POST":
            return 201, self._post(target, sent)
        if method == "PUT":
            return 200, self._update(target, sent)
        if method == "PATCH":
            return 200, self._patch(target, sent, content_type)
        if method == "DELETE":
            return 200, self._delete(target, sent) if target.name else self._delete_all(target, query, sent)
        raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")

    def watch(self, path: str, query: Mapping[str, str]) -> Watch:
        """Open a watch. Raises Expired."""
        target = self.target(path)
        chosen = Filter.of(target.table, target.namespace, query)
        return self.state.watch(chosen, query.get("resourceVersion", ""))

    def target(self, path: str) -> Target:
        core, *parts = path.strip("/").split("/")
        group = "" if core == "api" else parts.pop(0)
        version = parts.pop(0)
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
            namespace, parts = parts[1], parts[2:]
        plural, name, subresource, *_ = [*parts, "", ""]
        row = self.scheme.by_path(group, version, plural)
        if row is None:
            raise errors.NotFound("the server could not find the requested resource")
        return Target(row, namespace, name, subresource)

    def insert(self, obj: Object) -> Object:
        """Store `obj` as it is, status and all, in place of what had its name."""
        group, _, version = obj["apiVersion"].rpartition("/")
        row = self.scheme.by_kind(group, version, obj["kind"])
        assert row is not None, f"unknown kind {obj['apiVersion']} {obj['kind']}"
        metadata = {"generation": 1, **self._fresh_metadata(), **obj["metadata"]}
        if row.namespaced:
            metadata.setdefault("namespace", "default")
        key = Key(metadata.get("namespace", ""), metadata["name"])
        return self.state.put((row.group, row.plural), key, deepcopy(obj) | {"metadata": metadata})

    def _require(self, target: Target) -> Object:
        found = self.state.get(target.table, target.key)
        if found is None:
            raise target.missing()
        return found

    def _get(self, target: Target) -> Object:
        if target.subresource and not target.row.subresource(target.subresource):
            raise errors.NotFound("the server could not find the requested resource")
        return self._as(target, self._require(target))

    def _list(self, target: Target, query: Mapping[str, str]) -> Object:
        found = self.state.select(Filter.of(target.table, target.namespace, query))
        start = int(query.get("continue") or 0)
        end = start + int(query.get("limit") or len(found))
        metadata: Object = {"resourceVersion": str(self.state.revision)}
        if end < len(found):
            metadata |= {"continue": str(end), "remainingItemCount": len(found) - end}
        return {
            "kind": f"{target.row.kind}List",
            "apiVersion": target.row.api_version,
            "metadata": metadata,
            "items": found[start:end],
        }

    def _post(self, target: Target, body: Object) -> Object:
        if target.subresource == "binding":
            return self._bind(target, body)
        if target.subresource == "eviction":
            return self._delete(target, body.get("deleteOptions") or {})
        return self._create(target, body)

    def _create(self, target: Target, body: Object) -> Object:
        row = target.row
        metadata = deepcopy(body.get("metadata") or {})
        if metadata.get("resourceVersion"):
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                path = Path().metadata.name
                raise errors.invalid(row.kind, row.group, "", [path.required(NAMELESS)])
            metadata["name"] = metadata["generateName"] + self._entropy.suffix()
        target = Target(row, target.namespace or metadata.get("namespace", ""), metadata["name"], "")
        if self.state.get(target.table, target.key) is not None:
            raise errors.already_exists(row.plural, row.group, target.name)
        if row.namespaced:
            metadata["namespace"] = target.namespace
        obj = rules.created(row, body, metadata | self._fresh_metadata())
        return self.state.put(target.table, target.key, self._as(target, obj))

    def _bind(self, target: Target, body: Object) -> Object:
        pod = self._require(target)
        if node := pod["spec"].get("nodeName"):
            raise target.conflict(f'pod {target.name} is already assigned to node "{node}"')
        self.state.put(target.table, target.key, rules.bound(pod, body["target"]["name"], self._clock.now()))
        return SUCCESS | {"code": 201}

    def _update(self, target: Target, body: Object) -> Object:
        old = self._require(target)
        sent = body.get("metadata", {})
        version = sent.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise target.conflict(errors.MODIFIED)
        if why := rules.precondition_failure(old, {"uid": sent.get("uid")}):
            raise target.conflict(why)
        new = rules.updated(target.row, old, body, target.subresource)
        if new == old:
            return self._as(target, old)
        if rules.may_go(new):
            return self.state.remove(target.table, target.key)
        return self.state.put(target.table, target.key, self._as(target, new))

    def _patch(self, target: Target, patch: Any, content_type: str) -> Object:
        old = self.state.get(target.table, target.key)
        if old is None and not target.subresource and content_type.startswith("application/apply-patch"):
            return self._create(target, patch)
        old = self._require(target)
        return self._update(target, self._patched(target.row, old, patch, content_type))

    def _patched(self, row: ResourceInfo, old: Object, patch: Any, content_type: str) -> Object:
        match content_type:
            case "application/merge-patch+json":
                return merge(old, patch)
            case "application/json-patch+json":
                return json_patch(old, patch)
            case _:
                return strategic(old, patch, schema.node(row.definition))

    def _delete(self, target: Target, options: Object) -> Object:
        old = self._require(target)
        if why := rules.precondition_failure(old, options.get("preconditions") or {}):
            raise target.conflict(why)
        new = rules.deleted(target.row, old, options, self._clock.now())
        if new is None:
            self.state.remove(target.table, target.key)
            return SUCCESS
        return new if new is old else self.state.put(target.table, target.key, new)

    def _delete_all(self, target: Target, query: Mapping[str, str], options: Object) -> Object:
        for obj in self.state.select(Filter.of(target.table, target.namespace, query)):
            metadata = obj["metadata"]
            one = Target(target.row, metadata.get("namespace", ""), metadata["name"], "")
            self._delete(one, options)
        return SUCCESS

    def _fresh_metadata(self) -> Object:
        return {"uid": self._entropy.uid(), "creationTimestamp": rfc3339(self._clock.now())}

    @staticmethod
    def _as(target: Target, obj: Object) -> Object:
        """The object in the version that was asked for."""
        return obj | {"kind": target.row.kind, "apiVersion": target.row.api_version}

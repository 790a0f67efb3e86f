"""The entries of `metadata.managedFields`: who they belong to, and what a write takes, gives and merges.

An entry belongs to a manager, an operation and a subresource, and for updates to one API version.
Source of the rules: apimachinery `util/managedfields`.

Invariant: no function changes an entry in place; objects may share them.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, TypeAlias

from kplane.api.apply.fieldset import FieldSet, packed, union

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"

_SYSTEM = frozenset({"f:apiVersion", "f:kind"})
_SYSTEM_METADATA = frozenset(
    {
        "f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:clusterName",
        "f:generation", "f:managedFields", "f:resourceVersion", ".",
    }
)  # fmt: skip

Entry: TypeAlias = "dict[str, Any]"


class Identity(NamedTuple):
    manager: str
    operation: str
    subresource: str
    api_version: str
    """Empty for appliers, who move between versions."""


Entries: TypeAlias = "dict[Identity, Entry]"


class Writer(NamedTuple):
    """Who writes, through which endpoint, when (`2026-01-02T03:04:05Z`; empty where no time is recorded).
    `reset`: the top-level fields, as path elements, that this endpoint leaves as they are stored, so that
    writing them claims nothing."""

    manager: str
    api_version: str
    time: str
    subresource: str = ""
    reset: AbstractSet[str] = frozenset()

    def identity(self, operation: str) -> Identity:
        version = "" if operation == "Apply" else self.api_version
        return Identity(self.manager, operation, self.subresource, version)

    def entry(self, operation: str, fields: FieldSet, manager: str = "") -> Entry:
        entry: Entry = {
            "manager": manager or self.manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            "subresource": self.subresource,
        }
        for name in ("manager", "time", "subresource"):
            if not entry[name]:
                del entry[name]
        return entry


def read_entries(entries: Any) -> Entries:
    """Entries of a stored object, by identity; none where they cannot be read: that starts anew."""
    result: Entries = {}
    for entry in entries or ():
        fields, operation = entry.get("fieldsV1"), entry.get("operation")
        if not isinstance(fields, dict) or operation not in ("Apply", "Update"):
            return {}
        version = "" if operation == "Apply" else entry.get("apiVersion", "")
        key = Identity(entry.get("manager", ""), operation, entry.get("subresource", ""), version)
        if key in result:
            entry = entry | {"fieldsV1": union(result[key]["fieldsV1"], fields)}
        result[key] = entry
    return result


def given_entries(entries: Any) -> Entries:
    """The same of what a client sent, which may be anything that the schema allows."""
    try:
        return read_entries([entry | {"fieldsV1": packed(entry["fieldsV1"])} for entry in entries or ()])
    except (ValueError, KeyError, RecursionError):
        return {}


def listed(entries: Entries) -> list[Entry]:
    if len(entries) == 1:
        return list(entries.values())
    return sorted(
        entries.values(),
        key=lambda entry: (
            entry["operation"],
            entry.get("time", ""),
            entry.get("manager", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        ),
    )


def claimed(fields: FieldSet, reset: AbstractSet[str]) -> FieldSet:
    """Without what nobody manages: the system's fields, and those that the endpoint resets."""
    if not fields:
        return fields
    result = {name: inner for name, inner in fields.items() if name not in _SYSTEM and name not in reset}
    if "f:metadata" in result:
        inner = result.pop("f:metadata")
        if rest := {name: value for name, value in inner.items() if name not in _SYSTEM_METADATA}:
            result = {"f:metadata": rest} | result
    return result


def claim(entries: Entries, fields: FieldSet, writer: Writer, manager: str = "") -> Entries:
    """Give fields to an updater, by default the writer, beside what it has already."""
    if not fields:
        return entries
    identity = writer.identity("Update")
    if manager:
        identity = identity._replace(manager=manager)
    if identity in entries:
        fields = union(entries[identity]["fieldsV1"], fields)
    return entries | {identity: writer.entry("Update", fields, manager)}


def capped(entries: Entries) -> Entries:
    """At most MAX_UPDATE_MANAGERS updaters: the oldest of each version are merged into one."""
    updaters = [identity for identity in entries if identity.operation == "Update"]
    surplus = len(updaters) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return entries
    result = dict(entries)
    first: dict[str, Identity] = {}
    for identity in sorted(updaters, key=lambda updater: (entries[updater].get("time", ""), updater)):
        if surplus <= 0:
            break
        version = identity.api_version
        if version in first:
            bucket = Identity(ANCIENT, "Update", "", version)
            result[bucket] = _merged(result.pop(first[version]), result.pop(identity))
            first[version] = bucket
            surplus -= 1
        else:
            first[version] = identity
    return result


def _merged(older: Entry, newer: Entry) -> Entry:
    entry = newer | {"manager": ANCIENT, "fieldsV1": union(older["fieldsV1"], newer["fieldsV1"])}
    entry.pop("subresource", None)
    return entry

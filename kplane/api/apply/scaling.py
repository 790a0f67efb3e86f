"""Managers of a Scale: those of the replicas of the object that it is a view of.

Source of the rules: apimachinery `util/managedfields/scalehandler.go`. Entries that come to be through a
Scale have no time, as upstream's have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from kplane.api.apply.entries import Entry, Identity, listed, read_entries
from kplane.api.apply.fieldset import MEMBER, FieldSet, difference, intersection

SCALE_VERSION = "autoscaling/v1"

Places: TypeAlias = Mapping[str, Sequence[str]]
"""API version of the scaled object -> the fields that lead to its replicas; empty where it has no Scale."""

_REPLICAS: FieldSet = {"f:spec": {"f:replicas": MEMBER}}


def entries_of_scale(parent: Any, places: Places) -> list[Entry]:
    """The entries of a Scale whose object has the entries `parent`."""
    found = {}
    for identity, entry in read_entries(parent).items():
        if _manages(entry, places):
            version = SCALE_VERSION if identity.api_version else ""
            found[identity._replace(api_version=version)] = entry | {
                "apiVersion": SCALE_VERSION,
                "fieldsV1": _REPLICAS,
            }
    return listed(found)


def entries_of_parent(parent: Any, scale: Any, places: Places, api_version: str) -> list[Entry]:
    """The entries of the object after a write to its Scale left that with the entries `scale`;
    `api_version`: the object's, as it was addressed."""
    managers = {
        identity: entry for identity, entry in read_entries(scale).items() if "f:spec" in entry["fieldsV1"]
    }
    result: dict[Identity, Entry] = {}
    for identity, entry in read_entries(parent).items():
        if entry.get("apiVersion", "") not in places:
            continue
        if not _manages(entry, places):
            result[identity] = entry
        elif (same := _of_scale(identity)) in managers:
            result[identity] = entry
            del managers[same]
        elif rest := difference(entry["fieldsV1"], _leaf(places[entry["apiVersion"]])):
            result[identity] = entry | {"fieldsV1": rest}
    for identity, entry in managers.items():
        version = api_version if identity.api_version else ""
        kept = {name: value for name, value in entry.items() if name != "time"}
        kept |= {"apiVersion": api_version, "fieldsV1": _leaf(places[api_version])}
        result[identity._replace(api_version=version)] = kept
    return listed(result)


def _of_scale(identity: Identity) -> Identity:
    return identity._replace(api_version=SCALE_VERSION) if identity.api_version else identity


def _manages(entry: Entry, places: Places) -> bool:
    steps = places.get(entry.get("apiVersion", ""))
    return bool(steps) and bool(intersection(entry["fieldsV1"], _leaf(steps or ())))


def _leaf(steps: Sequence[str]) -> FieldSet:
    """The set of the one field at a path."""
    fields = MEMBER
    for step in reversed(steps):
        fields = {f"f:{step}": fields}
    return fields

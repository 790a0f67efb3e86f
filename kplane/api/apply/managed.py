"""What a write makes of an object's managers: `track` an ordinary one, `apply` a configuration.

Objects that came without entries are not tracked until somebody applies to them.
Source of the rules: apimachinery `util/managedfields`, structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplane.api.apply.clientside import KUBECTL, applied_by_client, note_applied
from kplane.api.apply.compare import DuplicateItem, compare, created, fields_of
from kplane.api.apply.conflicts import Held, conflict_error
from kplane.api.apply.entries import (
    Entries,
    Entry,
    Identity,
    Writer,
    capped,
    claim,
    claimed,
    given_entries,
    listed,
    read_entries,
)
from kplane.api.apply.fieldset import FieldSet, difference, intersection
from kplane.api.apply.merge import merge
from kplane.api.apply.shape import MissingKey, Shape
from kplane.api.apply.versions import Changes, Versions, withdrawn
from kplane.api.errors import BadRequest
from kplane.api.resource import Object

BEFORE_FIRST_APPLY = "before-first-apply"

_IDENTITY = ("manager", "operation", "apiVersion", "subresource")


def track(old: Object | None, new: Object, given: Any, writer: Writer, versions: Versions) -> list[Entry]:
    """The entries of `new` after an ordinary write; `old` is None on creation, `given` is what the client
    sent as managedFields."""
    shape = _own(versions, writer)
    if old is None and not given:
        # Nobody else manages anything of a new object.
        fields = claimed(created(shape, new), writer.reset)
        return [writer.entry("Update", fields)] if fields else []
    entries = given_entries(given) if old is None else _known(old, given, writer)
    if old is not None and not entries:
        return []
    changes = Changes(shape, shape.zero if old is None else old, new, writer, versions)
    entries = changes.rest(entries)
    if changes.own.changed:
        entries = capped(claim(entries, changes.own.changed, writer))
    return listed(entries)


def _own(versions: Versions, writer: Writer) -> Shape:
    shape = versions.shape(writer.api_version)
    assert shape is not None, f"{writer.api_version} is written to"
    return shape


def _known(old: Object, given: Any, writer: Writer) -> Entries:
    """The entries to go on from. A client may rewrite them through the object's own endpoint, or reset them
    with a single empty one; leaving them out changes nothing."""
    if given == [{}]:
        return {}
    stored = old["metadata"].get("managedFields")
    if not writer.subresource and given != stored and (entries := given_entries(given)):
        return entries
    return read_entries(stored)


def apply(live: Object | None, config: Object, writer: Writer, versions: Versions, *, force: bool) -> Object:
    """The object that applying `config` makes, its managedFields included; shares parts with both. Raises
    Conflict, and BadRequest for a configuration whose lists are ambiguous."""
    shape = _own(versions, writer)
    wanted = _wanted(shape, config)
    mine = claimed(wanted, writer.reset)
    before = live if live is not None else _blank(config)
    entries = _tracked(shape, live, writer)
    identity = writer.identity("Apply")
    last = entries.pop(identity, None)
    merged = merge(shape, before, config)
    # Who lists what he listed before withdraws nothing.
    if last and (last["fieldsV1"] != mine or last.get("apiVersion") != writer.api_version):
        merged = withdrawn(merged, last, wanted, entries, shape, writer, versions)
    changes = Changes(shape, before, merged, writer, versions)
    if not force:
        _refuse_conflicts(shape, before, _held(entries, changes), writer)
    entries = changes.rest(entries)
    if mine:
        entries[identity] = writer.entry("Apply", mine)
    merged["metadata"] = metadata = dict(merged["metadata"])
    if writer.manager == KUBECTL:
        note_applied(metadata, config)
    metadata["managedFields"] = listed(entries)
    return merged  # type: ignore[no-any-return]


def _wanted(shape: Shape, config: Object) -> FieldSet:
    """What the configuration lists."""
    try:
        return fields_of(shape, config)
    except (DuplicateItem, MissingKey) as error:
        meta = config["metadata"]
        where = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        what = f"{config['apiVersion']}, Kind={config['kind']}"
        raise BadRequest(f"failed to create typed patch object ({where}; {what}): {error}") from error


def _blank(config: Object) -> Object:
    """What an apply that creates starts from."""
    return {"kind": config["kind"], "apiVersion": config["apiVersion"], "metadata": {}}


def _tracked(shape: Shape, live: Object | None, writer: Writer) -> Entries:
    """The entries of the live object; where it has none, one that stands for all who wrote it."""
    if live is None:
        return {}
    entries = read_entries(live["metadata"].get("managedFields"))
    if entries:
        return entries
    fields = claimed(compare(shape, shape.zero, live).changed, writer.reset)
    return claim(entries, fields, writer, BEFORE_FIRST_APPLY)


def _held(entries: Mapping[Identity, Entry], changes: Changes) -> list[Held]:
    """What others manage of the fields that an apply would change."""
    result = []
    for entry in entries.values():
        found = changes.of(entry.get("apiVersion", ""))
        if found and (fields := intersection(entry["fieldsV1"], found.changed)):
            result.append(Held(entry, fields))
    return result


def _refuse_conflicts(shape: Shape, live: Object, held: list[Held], writer: Writer) -> None:
    """Raises Conflict. kubectl may take everything or nothing of what client-side apply has written."""
    if held and writer.manager == KUBECTL:
        allowed = applied_by_client(shape, live)
        held = [entry for entry in held if difference(entry.fields, allowed)]
    if held:
        raise conflict_error(held)


def settle(new: Object, old: Object) -> None:
    """Take back new time stamps from `new` where nothing else differs from `old`: then nothing is written."""
    now, was = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if now is was or not now or not was or _timeless(now) != _timeless(was):
        return
    new["metadata"]["managedFields"] = was
    if new != old:
        new["metadata"]["managedFields"] = now


def _timeless(entries: Sequence[Entry]) -> list[Entry]:
    bare = [{name: value for name, value in entry.items() if name != "time"} for entry in entries]
    # Order is by time; two writes of which only one is new may have swapped places.
    return sorted(bare, key=lambda entry: [str(entry.get(name)) for name in _IDENTITY])

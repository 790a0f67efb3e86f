"""What a Pod's status may say next: ended containers stay ended, addresses are addresses."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..addressforms import validate_ip

_BACK = "may not be transitioned to non-terminated state"
_ONE_EACH = "may specify no more than one IP for each IP family"


def validate_transitions(new: Object, old: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    """A container that ended, and that its pod does not restart, may not come back."""
    restart = spec.get("restartPolicy", "")
    yield from _validate_list("containerStatuses", new, old, restart, frozenset(), path)
    # Ephemeral containers are never restarted, whatever the pod says.
    yield from _validate_list("ephemeralContainerStatuses", new, old, "Never", frozenset(), path)
    sidecars = frozenset(
        container.get("name", "")
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    )
    yield from _validate_list("initContainerStatuses", new, old, restart, sidecars, path)


def _validate_list(
    field: str, new: Object, old: Object, restart: str, restarted: frozenset[str], path: Path
) -> Iterator[FieldError]:
    if restart == "Always":
        return
    now = {status.get("name"): status.get("state") or {} for status in new.get(field) or ()}
    for index, status in enumerate(old.get(field) or ()):
        ended = (status.get("state") or {}).get("terminated")
        name = status.get("name", "")
        if ended is None or name in restarted or (ended.get("exitCode") and restart == "OnFailure"):
            continue
        if name in now and "terminated" not in now[name]:
            yield path.child(field)[index].state.forbidden(_BACK)


def validate_addresses(status: Object, path: Path) -> Iterator[FieldError]:
    """`podIPs` and `hostIPs`: sound, and at most one of each family."""
    for field in ("podIPs", "hostIPs"):
        entries = status.get(field) or []
        addresses = [entry.get("ip", "") for entry in entries]
        for index, address in enumerate(addresses):
            yield from validate_ip(address, path.child(field)[index])
            if address in addresses[:index]:
                yield path.child(field)[index].duplicate(entries[index])
        families = [":" in address for address in addresses]
        if len(families) != len(set(families)):
            yield path.child(field).invalid(entries, _ONE_EACH)
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip", "") != status.get("hostIP", ""):
        yield path.hostIPs[0].ip.invalid(hosts[0].get("ip", ""), "must be equal to `hostIP`")

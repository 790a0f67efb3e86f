"""What the pods of one workload have in common: all that the rules for a pod spec see of it.

Invariant: specs that are alike have the same number of faults and of warnings, whatever these say.
"""

from __future__ import annotations

from kplane.api import names
from kplane.api.resource import Object

_LISTS = ("containers", "initContainers", "ephemeralContainers")
_OF_VOLUMES = ("volumeMounts", "volumeDevices")


def likeness(spec: Object) -> Object:
    """The spec, with volumes told apart by their places instead of their names, as that of its token's is new
    in each pod; names that only the pod itself has are replaced by what is wrong with them."""
    alike, places = dict(spec), {}
    if volumes := spec.get("volumes"):
        places = {volume.get("name", ""): place for place, volume in enumerate(volumes)}
        renamed = [{**volume, "name": names.dns_label(volume.get("name", ""))} for volume in volumes]
        # A name that is repeated has one place.
        alike["volumes"] = [len(places), *renamed]
    if spec.get("hostname"):
        alike["hostname"] = names.dns_label(spec["hostname"])
    if spec.get("nodeName"):
        alike["nodeName"] = names.dns_subdomain(spec["nodeName"])
    for name in _LISTS:
        if name in spec:
            alike[name] = [_container(container, places) for container in spec[name] or ()]
    return alike


def _container(container: Object, places: dict[str, int]) -> Object:
    alike = dict(container)
    for name in _OF_VOLUMES:
        if name in container:
            alike[name] = [
                {**entry, "name": places.get(entry.get("name", ""))} for entry in container[name] or ()
            ]
    return alike

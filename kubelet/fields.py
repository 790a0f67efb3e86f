"""The downward API: what `fieldRef` and `resourceFieldRef` stand for, in variables and in files. Pure.

Source: the kubelet's `pkg/fieldpath` and `api/v1/resource/helpers.go`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from kplane.api import quantity

from .pod import Container, Pod, ResourceFieldSelector

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class FieldError(Exception):
    """The path names nothing that may be asked for."""


def value(pod: Pod, path: str, host_ips: Sequence[str], pod_ips: Sequence[str]) -> str:
    """The text of a field; empty for a label or annotation that is not there."""
    if subscript := _SUBSCRIPT.match(path):
        kind, key = subscript.groups()
        return (pod.metadata.labels if kind == "labels" else pod.metadata.annotations).get(key, "")
    plain = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in plain:
        return plain[path]
    if path in ("metadata.labels", "metadata.annotations"):
        return formatted(pod.metadata.labels if path.endswith("labels") else pod.metadata.annotations)
    raise FieldError(f"unsupported fieldPath: {path}")


def formatted(values: Mapping[str, str]) -> str:
    """Labels or annotations as one text: `key="value"` a line, sorted."""
    return "\n".join(f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))


def resource(
    pod: Pod, container: Container | None, selector: ResourceFieldSelector, allocatable: Mapping[str, str]
) -> str:
    """Whole multiples of the divisor, rounded up. An unset limit is what the node could give."""
    asked = pod.container(selector.container_name) if selector.container_name else container
    if asked is None:
        raise FieldError(f"container {selector.container_name} not found")
    kind, _, name = selector.resource.partition(".")
    quantities = asked.resources.limits if kind == "limits" else asked.resources.requests
    if kind not in ("limits", "requests") or not name:
        raise FieldError(f"unsupported container resource : {selector.resource}")
    found = quantities.get(name, allocatable.get(name, "0") if kind == "limits" else "0")
    divisor = quantity.exact(selector.divisor) or 1
    return str(math.ceil(quantity.exact(found) / divisor))

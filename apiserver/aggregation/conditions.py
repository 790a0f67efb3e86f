"""Whether an aggregated API is available, as far as its Service and endpoints tell: a plain decision.

Rules and wording: kube-aggregator `pkg/controllers/status/remote`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kplane.api.resource import Object

from .remotes import Remote


class Verdict(NamedTuple):
    status: str
    reason: str
    message: str


PASSED = Verdict("True", "Passed", "all checks passed")


def judge(remote: Remote, service: Object | None, slices: Sequence[Object]) -> Verdict | None:
    """What stands in the way; None if only asking the server can tell."""
    where = f'service/{remote.service} in "{remote.namespace}"'
    if service is None:
        return Verdict("False", "ServiceNotFound", f"{where} is not present")
    spec = service["spec"]
    if spec.get("type", "ClusterIP") != "ClusterIP":
        return None
    ports = [port for port in spec.get("ports") or () if port["port"] == remote.port]
    if not ports:
        return Verdict("False", "ServicePortError", f"{where} is not listening on port {remote.port}")
    if not slices:
        return Verdict("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
    name = ports[0].get("name") or ""
    if not any(_serves(entry, name) for entry in slices):
        message = f'endpointslices for {where} have no addresses with port name "{name}"'
        return Verdict("False", "MissingEndpoints", message)
    return None


def failed(message: str) -> Verdict:
    """The server did not answer its discovery as it must."""
    return Verdict("False", "FailedDiscoveryCheck", message)


def _serves(entry: Object, port_name: str) -> bool:
    ready = any(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for endpoint in entry.get("endpoints") or ()
    )
    return ready and any(
        (port.get("name") or "") == port_name and port.get("port") for port in entry.get("ports") or ()
    )

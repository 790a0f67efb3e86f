"""CNI configuration of a node: pods on one bridge, addresses from the node's pod CIDR.

Pure; whoever starts the container runtime writes the result as `10-kplane.conflist`.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from kplane.api.resource import Object


def bridge_conflist(
    name: str, bridge: str, pod_cidr: str, *, data_dir: str = "", masquerade: bool = True
) -> Object:
    """A CNI 1.0.0 configuration list: bridge with host-local addresses, and portmap for hostPorts.

    `data_dir` is where host-local keeps its leases (its own default where empty). `masquerade` gives pods a
    way out of the node under the node's address; it makes the bridge plug-in write iptables rules.
    """
    ipam: dict[str, Any] = {
        "type": "host-local",
        "ranges": [[{"subnet": pod_cidr}]],
        "routes": [{"dst": _default_route(pod_cidr)}],
    }
    if data_dir:
        ipam["dataDir"] = data_dir
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": True,
                "ipMasq": masquerade,
                "hairpinMode": True,
                "ipam": ipam,
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _default_route(pod_cidr: str) -> str:
    return "0.0.0.0/0" if ipaddress.ip_network(pod_cidr).version == 4 else "::/0"

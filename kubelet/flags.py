"""The kubelet's flags, with upstream's names, and what they become."""

from __future__ import annotations

import argparse
import ipaddress
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kplane.api.resource import Object
from kplane.runtime import addresses
from kplane.runtime.process import Fatal, FlagParser, flag_bool, flag_duration

from . import configfile
from .config import KubeletConfig
from .server.authentication import AuthenticationSettings
from .server.authorization import AuthorizationSettings, Mode

DEFAULT_ROOT = Path("/var/lib/kubelet")
DEFAULT_LOGS = Path("/var/log/pods")
HOLLOW = "hollow://"
HOLLOW_CIDR = "10.128.0.0/9"
"""Room for 32,768 nodes with 254 addresses each; the addresses lead nowhere."""
NODE_PREFIX = 24
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def parser() -> FlagParser:
    flags = FlagParser("kubelet", "Runs the Pods that are bound to this node.")
    add = flags.add_argument
    add("--kubeconfig", type=Path, help="how to reach the API server")
    add("--config", type=Path, help="KubeletConfiguration; flags that are given count more")
    add("--hostname-override", default="", help="name of the node (default: the host name)")
    add("--root-dir", type=Path, default=DEFAULT_ROOT, help="folder for pods' volumes and other state")
    add(
        "--pod-logs-dir",
        type=Path,
        help=f"folder for container logs (default: {DEFAULT_LOGS}, or in --root-dir)",
    )
    add("--container-runtime-endpoint", default="unix:///run/containerd/containerd.sock",
        help="CRI socket, or hollow:// for pods without containers")  # fmt: skip
    add("--hollow-nodes", type=int, default=0, metavar="N",
        help="with hollow://: run N nodes, named NAME-0 and so on")  # fmt: skip
    add("--node-ip", default="", help="address of the node (default: the one towards the API server)")
    add("--pod-cidr", default="", help="range of the pods' addresses")
    add("--address", default="0.0.0.0", help="address to serve on")  # noqa: S104 upstream's default
    add("--port", type=int, default=10250, help="port to serve on; 0 for any")
    add("--tls-cert-file", type=Path, help="serving certificate")
    add("--tls-private-key-file", type=Path, help="key of the serving certificate")
    add("--client-ca-file", type=Path, help="CA of the clients that may use the node server")
    add("--anonymous-auth", type=flag_bool, nargs="?", const=True, default=True,
        help="let in those who prove no identity, as system:anonymous")  # fmt: skip
    add("--authentication-token-webhook", type=flag_bool, nargs="?", const=True, default=False,
        help="take bearer tokens, which the API server judges")  # fmt: skip
    add("--authentication-token-webhook-cache-ttl", type=flag_duration, default=120.0,
        help="how long its verdicts are kept")  # fmt: skip
    add("--authorization-mode", default=Mode.ALWAYS_ALLOW.value,
        help=f"{' or '.join(Mode)}: who decides who may use the node server")  # fmt: skip
    add("--authorization-webhook-cache-authorized-ttl", type=flag_duration, default=300.0,
        help="how long its decisions to allow are kept")  # fmt: skip
    add("--authorization-webhook-cache-unauthorized-ttl", type=flag_duration, default=30.0,
        help="how long its other decisions are kept")  # fmt: skip
    add("--read-only-port", type=int, default=0, help="0: there is no port without authentication")
    add("--healthz-port", type=int, default=10248, help="port for /healthz alone, in plain HTTP; 0 for none")
    add("--healthz-bind-address", default="127.0.0.1", help="address of the same")
    add("--bootstrap-kubeconfig", type=Path, help="with what to ask for --kubeconfig where that is missing")
    add("--cert-dir", type=Path, help="folder for certificates of the kubelet's own (default: in --root-dir)")
    add("--rotate-certificates", type=flag_bool, nargs="?", const=True, default=False,
        help="ask for a new client certificate before the present one ends")  # fmt: skip
    add("--rotate-server-certificates", type=flag_bool, nargs="?", const=True, default=False,
        help="ask the API for the serving certificate, which somebody has to approve")  # fmt: skip
    add("--register-node", type=flag_bool, nargs="?", const=True, default=True)
    add("--node-labels", default="", help="labels to register with: key=value,…")
    add("--register-with-taints", default="", help="taints to register with: key=value:effect,…")
    add("--max-pods", type=int, default=110)
    add("--node-status-update-frequency", type=duration, default=10.0)
    add("--serialize-image-pulls", type=flag_bool, nargs="?", const=True, default=True)
    add("--allowed-unsafe-sysctls", default="", help="sysctls that pods may set beside the safe ones: name,…")
    add("--cluster-dns", default="", help="addresses of the cluster's DNS service")
    add("--cluster-domain", default="cluster.local")
    add("--resolv-conf", type=Path, default=Path("/etc/resolv.conf"))
    add("--cgroup-root", default="/", help="cgroup below which the pods' cgroups are made")
    add("--v", type=int, default=0, help="verbosity of the log")
    # Of the configuration file alone.
    flags.set_defaults(node_status_report_frequency=300.0, node_lease_duration_seconds=40)
    return flags


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags, over the configuration file that they name. Raises Fatal."""
    flags = parser()
    given = flags.parse_args(argv)
    if given.config is not None:
        flags.set_defaults(**configfile.load(given.config))
        given = flags.parse_args(argv)
    if given.read_only_port:
        raise Fatal("--read-only-port must be 0: there is no port without authentication")
    if given.authorization_mode not in list(Mode):
        raise Fatal(f"Unknown authorization mode {given.authorization_mode}: give {' or '.join(Mode)}")
    return given


def authentication(given: argparse.Namespace) -> AuthenticationSettings:
    return AuthenticationSettings(
        client_ca_file=given.client_ca_file,
        anonymous=given.anonymous_auth,
        webhook=given.authentication_token_webhook,
        cache_ttl=given.authentication_token_webhook_cache_ttl,
    )


def authorization(given: argparse.Namespace) -> AuthorizationSettings:
    return AuthorizationSettings(
        mode=Mode(given.authorization_mode),
        authorized_ttl=given.authorization_webhook_cache_authorized_ttl,
        unauthorized_ttl=given.authorization_webhook_cache_unauthorized_ttl,
    )


def duration(text: str) -> float:
    """Go's durations: `10s`, `1m30s`. Raises argparse's type error."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f'invalid duration "{text}"')
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def configs(flags: argparse.Namespace, server: str) -> list[KubeletConfig]:
    """One per node: a single one, or as many as --hollow-nodes says. Raises Fatal."""
    name = flags.hostname_override or socket.gethostname().lower()
    hollow = flags.container_runtime_endpoint.startswith(HOLLOW)
    if not flags.hollow_nodes:
        cidr = flags.pod_cidr or (HOLLOW_CIDR if hollow else "")
        return [_config(flags, name, cidr, server)]
    if not hollow:
        raise Fatal("--hollow-nodes needs --container-runtime-endpoint=hollow://")
    ranges = _ranges(flags.pod_cidr or HOLLOW_CIDR, flags.hollow_nodes)
    return [_config(flags, f"{name}-{index}", cidr, server) for index, cidr in enumerate(ranges)]


def _ranges(cidr: str, count: int) -> list[str]:
    """One range per node. A range of a node's size (/24 or less) is the first node's, and the others get
    those after it; a larger one is divided into such."""
    network = ipaddress.ip_network(cidr)
    if network.prefixlen >= NODE_PREFIX:
        first, size = int(network.network_address), network.num_addresses
        kind = type(network.network_address)
        return [f"{kind(first + index * size)}/{network.prefixlen}" for index in range(count)]
    if 2 ** (NODE_PREFIX - network.prefixlen) < count:
        raise Fatal(f"--pod-cidr {cidr} is too small for {count} nodes; give a larger range")
    subnets = network.subnets(new_prefix=NODE_PREFIX)
    return [str(next(subnets)) for _ in range(count)]


def _config(flags: argparse.Namespace, name: str, cidr: str, server: str) -> KubeletConfig:
    logs = flags.pod_logs_dir
    if logs is None:
        logs = DEFAULT_LOGS if flags.root_dir == DEFAULT_ROOT else flags.root_dir / "logs" / "pods"
    return KubeletConfig(
        node_name=name,
        root_dir=flags.root_dir.absolute(),
        pod_logs_dir=logs.absolute(),
        node_ips=tuple(_listed(flags.node_ip)) or (address_towards(server),),
        pod_cidr=cidr,
        port=flags.port,
        cgroup_root=flags.cgroup_root,
        cluster_dns=_listed(flags.cluster_dns),
        cluster_domain=flags.cluster_domain,
        resolv_conf=flags.resolv_conf,
        register_node=flags.register_node,
        node_labels=_labels(flags.node_labels),
        register_with_taints=[_taint(text) for text in _listed(flags.register_with_taints)],
        max_pods=flags.max_pods,
        node_status_update_frequency=flags.node_status_update_frequency,
        node_status_report_frequency=flags.node_status_report_frequency,
        node_lease_duration_seconds=flags.node_lease_duration_seconds,
        serialize_image_pulls=flags.serialize_image_pulls,
        allowed_unsafe_sysctls=_listed(flags.allowed_unsafe_sysctls),
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for pair in _listed(text):
        key, equals, value = pair.partition("=")
        if not equals:
            raise Fatal(f'--node-labels: "{pair}" is not key=value')
        labels[key] = value
    return labels


def _taint(text: str) -> Object:
    head, colon, effect = text.rpartition(":")
    if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise Fatal(f'--register-with-taints: "{text}" is not key=value:effect')
    key, equals, value = head.partition("=")
    return {"key": key, "value": value, "effect": effect} if equals else {"key": key, "effect": effect}


def address_towards(server: str) -> str:
    """The address of the interface that leads to the API server; nothing is sent."""
    host = urlsplit(server).hostname or "127.0.0.1"
    try:
        return addresses.towards(host)
    except OSError as error:
        raise Fatal(f"cannot find out this node's address ({error}); give it with --node-ip") from error

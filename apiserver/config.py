"""The API server's settings and the flags they are read from, under upstream's names.

`ApiServerConfig` is what a server needs, whoever fills it in: `parse` from a command line, tests by hand.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from kplane.runtime.process import Fatal, FlagParser

from .admission.registry import check as check_plugins
from .audit import flags as audit_flags
from .audit.settings import AuditSettings
from .auth import authorization
from .auth import flags as auth_flags
from .auth.authorization import AuthorizationSettings
from .auth.settings import AuthenticationSettings

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

IN_MEMORY = Path(":memory:")
"""In place of a folder: a store that ends with the server, and waits for no disk."""
DEFAULT_SERVICE_RANGE: Network = ipaddress.ip_network("10.96.0.0/12")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class ApiServerConfig:
    """Exactly one of `etcd_servers` and `storage_dir` says where objects are kept."""

    storage_dir: Path | None = None
    """A folder, or IN_MEMORY."""
    etcd_servers: tuple[str, ...] = ()
    etcd_cafile: Path | None = None
    etcd_certfile: Path | None = None
    etcd_keyfile: Path | None = None
    etcd_prefix: str = "/registry"
    bind_address: str = "0.0.0.0"  # noqa: S104
    secure_port: int = 6443
    advertise_address: str = ""
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    client_ca_file: Path | None = None
    token_auth_file: Path | None = None
    service_cluster_ip_range: Network = DEFAULT_SERVICE_RANGE
    secondary_service_cluster_ip_range: Network | None = None
    """Of the other IP family, in a cluster that has both."""
    service_node_port_range: range = range(30000, 32768)
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    proxy_client_cert_file: Path | None = None
    proxy_client_key_file: Path | None = None
    requestheader_client_ca_file: Path | None = None
    requestheader_allowed_names: tuple[str, ...] = ()
    requestheader_username_headers: tuple[str, ...] = ()
    requestheader_uid_headers: tuple[str, ...] = ()
    requestheader_group_headers: tuple[str, ...] = ()
    requestheader_extra_headers_prefix: tuple[str, ...] = ()
    enable_priority_and_fairness: bool = True
    """Whether FlowSchemas and priority levels decide which requests run; else the two limits below do."""
    max_requests_inflight: int = 400
    """Requests that read and are served at once, long-running ones not counted. With priority and fairness
    its levels divide the sum of both numbers."""
    max_mutating_requests_inflight: int = 200
    """The same for requests that write."""
    request_timeout: float = 60.0
    event_ttl: int = 3600
    """Seconds that Events are kept."""
    enable_admission_plugins: tuple[str, ...] = ()
    """Beside those that are on by default (`admission/registry.py`)."""
    disable_admission_plugins: tuple[str, ...] = ()
    admission_control_config_file: Path | None = None
    default_not_ready_toleration_seconds: int = 300
    default_unreachable_toleration_seconds: int = 300
    authentication: AuthenticationSettings = field(default_factory=AuthenticationSettings)
    authorization: AuthorizationSettings = field(default_factory=AuthorizationSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    verbosity: int = 0

    @property
    def service_cluster_ip_ranges(self) -> tuple[Network, ...]:
        """One for each IP family, the default one's first."""
        second = self.secondary_service_cluster_ip_range
        return (self.service_cluster_ip_range, *([second] if second else []))


def parse(argv: Sequence[str] | None = None) -> ApiServerConfig:
    """The settings of a command line. Raises Fatal with one line on unknown flags and bad values."""
    args = vars(_parser().parse_args(argv))
    if bool(args.get("etcd_servers")) == bool(args.get("storage_dir")):
        raise Fatal("pass either --etcd-servers or --storage-dir, to say where objects are kept")
    if ("tls_cert_file" in args) != ("tls_private_key_file" in args):
        raise Fatal("--tls-cert-file and --tls-private-key-file belong together: pass both")
    check_plugins(args.get("enable_admission_plugins", ()), args.get("disable_admission_plugins", ()))
    if ("proxy_client_cert_file" in args) != ("proxy_client_key_file" in args):
        raise Fatal("--proxy-client-cert-file and --proxy-client-key-file belong together: pass both")
    prefixes = (auth_flags.PREFIX, audit_flags.PREFIX)
    if args.get("enable_priority_and_fairness", True) and not _seats(args):
        raise Fatal(
            "--max-requests-inflight and --max-mutating-requests-inflight are both 0: with "
            "--enable-priority-and-fairness nothing could run; raise one of them"
        )
    plain = {name: value for name, value in args.items() if not name.startswith(prefixes)}
    if ranges := args.get("service_cluster_ip_range"):
        names = ("service_cluster_ip_range", "secondary_service_cluster_ip_range")
        plain |= dict(zip(names, ranges, strict=False))
    return ApiServerConfig(
        **plain,
        authentication=auth_flags.settings(args),
        authorization=authorization.settings(args),
        audit=audit_flags.settings(args),
    )


def _seats(args: dict[str, Any]) -> int:
    names = ("max_requests_inflight", "max_mutating_requests_inflight")
    return sum(int(args.get(name, getattr(ApiServerConfig, name))) for name in names)


def _parser() -> FlagParser:
    parser = FlagParser("kplane apiserver", "The Kubernetes API server.")

    def flag(name: str, kind: Callable[[str], object], text: str, field: str = "") -> None:
        field = field or name.replace("-", "_")
        parser.add_argument(f"--{name}", dest=field, type=kind, default=argparse.SUPPRESS, help=text)

    flag("storage-dir", Path, "folder of the embedded SQLite store, or :memory: to keep nothing")
    flag("etcd-servers", _list, "addresses of etcd, separated by commas (scheme://host:port)")
    flag("etcd-cafile", _file, "certificate authority of etcd's certificate")
    flag("etcd-certfile", _file, "client certificate for etcd")
    flag("etcd-keyfile", _file, "key of the client certificate for etcd")
    flag("etcd-prefix", str, "what every key in the store begins with")
    flag("bind-address", _address, "address to listen on")
    flag("secure-port", _port, "port to listen on; 0 takes any free one")
    flag("advertise-address", _address, "address under which pods and nodes reach this server")
    flag("tls-cert-file", _file, "serving certificate")
    flag("tls-private-key-file", _file, "key of the serving certificate")
    flag("client-ca-file", _file, "authority whose client certificates are accepted")
    flag("token-auth-file", _file, "CSV file of static tokens: token,user,uid[,groups]")
    flag("service-cluster-ip-range", _networks, "one or two ranges of the Services' cluster addresses")
    flag("service-node-port-range", _port_range, "range of NodePorts, such as 30000-32767")
    flag("kubelet-client-certificate", _file, "client certificate for kubelets")
    flag("kubelet-client-key", _file, "key of the client certificate for kubelets")
    flag("kubelet-certificate-authority", _file, "authority of the kubelets' certificates")
    flag("proxy-client-cert-file", _file, "client certificate for aggregated API servers")
    flag("proxy-client-key-file", _file, "key of the client certificate for aggregated API servers")
    flag("requestheader-client-ca-file", _file, "authority of proxies whose headers say who asks")
    flag("requestheader-allowed-names", _list, "common names of those proxies; empty: any")
    flag("requestheader-username-headers", _list, "headers with the user's name, such as X-Remote-User")
    flag("requestheader-uid-headers", _list, "headers with the user's uid, such as X-Remote-Uid")
    flag("requestheader-group-headers", _list, "headers with the user's groups, such as X-Remote-Group")
    flag("requestheader-extra-headers-prefix", _list, "prefixes of further ones, such as X-Remote-Extra-")
    flag(
        "enable-priority-and-fairness",
        auth_flags.boolean,
        "let FlowSchemas and priority levels decide which requests run, wait or are refused",
    )
    flag("max-requests-inflight", _count, "reading requests at once; with the next, the seats of all levels")
    flag("max-mutating-requests-inflight", _count, "writing requests at once; 0 is no limit without levels")
    flag("request-timeout", _seconds, "how long a request may take, such as 1m0s")
    flag("event-ttl", lambda text: int(_seconds(text)), "how long Events are kept, such as 1h0m0s")
    flag("enable-admission-plugins", _list, "admission plug-ins to run beside the default ones")
    flag("disable-admission-plugins", _list, "admission plug-ins not to run although they are on by default")
    flag("admission-control-config-file", _file, "AdmissionConfiguration with the plug-ins' settings")
    flag("default-not-ready-toleration-seconds", int, "how long pods stay on a node that is not ready")
    flag("default-unreachable-toleration-seconds", int, "how long pods stay on an unreachable node")
    auth_flags.add_flags(parser, file=_file, seconds=_seconds)
    authorization.add_flags(parser, file=_file, seconds=_seconds)
    audit_flags.add_flags(parser, file=_file, seconds=_seconds)
    flag("v", int, "verbosity of the log", field="verbosity")
    return parser


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of requests, 0 or more")
    return int(text)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port between 0 and 65535")
    return int(text)


def _port_range(text: str) -> range:
    first, separator, last = text.partition("-")
    ports = (_port(first), _port(last)) if separator else (0, 0)
    if not 0 < ports[0] <= ports[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port range such as 30000-32767")
    return range(ports[0], ports[1] + 1)


def _networks(text: str) -> tuple[Network, ...]:
    found = tuple(_network(part) for part in _list(text))
    if not 0 < len(found) < 3 or len({network.version for network in found}) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not one range, or one of IPv4 and one of IPv6")
    return found


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range such as 10.96.0.0/12") from None
    if network.num_addresses < 8:
        raise argparse.ArgumentTypeError(f"the range {text} is too small: it needs 8 addresses at least")
    return network


def _seconds(text: str) -> float:
    """A Go duration such as `1m30s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)

"""Configuration of the metrics server: its flags, under upstream's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kplane.runtime.process import Fatal, FlagParser, flag_bool, flag_duration

ADDRESS_TYPES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
SHORTEST = 10.0
"""Seconds between two rounds, at least; kubelets measure no more often."""


@dataclass(frozen=True)
class Config:
    kubeconfig: Path | None = None
    metric_resolution: float = 60
    address_types: Sequence[str] = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")
    kubelet_authority: Path | None = None
    kubelet_insecure_tls: bool = False
    bind_address: str = "0.0.0.0"  # noqa: S104 - upstream's default
    secure_port: int = 443
    cert_file: Path | None = None
    key_file: Path | None = None
    requestheader_client_ca_file: Path | None = None
    requestheader_allowed_names: Sequence[str] = ()
    verbosity: int = 0


def parse(argv: Sequence[str] | None) -> Config:
    """Flags to Config. Raises Fatal for what makes no sense."""
    config = Config(**vars(_parser().parse_args(argv)))
    if config.metric_resolution < SHORTEST:
        raise Fatal("metric-resolution should be a time duration at least 10s")
    unknown = [kind for kind in config.address_types if kind not in ADDRESS_TYPES]
    if unknown:
        raise Fatal(f'"{unknown[0]}" is not a kind of address; known: {", ".join(ADDRESS_TYPES)}')
    if config.kubelet_insecure_tls and config.kubelet_authority is not None:
        raise Fatal("cannot use both --kubelet-certificate-authority and --kubelet-insecure-tls")
    if config.requestheader_client_ca_file is None:
        raise Fatal("--requestheader-client-ca-file is needed: requests come through the API server alone")
    return config


def _parser() -> FlagParser:
    parser = FlagParser("kplane metrics-server", "Serves what Pods and Nodes use: metrics.k8s.io.")
    add = parser.add_argument
    add("--kubeconfig", type=Path, help="how to reach the API server, and who asks the kubelets")
    add("--metric-resolution", type=flag_duration, default=60.0, help="time between two measurements")
    add(
        "--kubelet-preferred-address-types", dest="address_types", type=_names,
        default=Config.address_types, help="the kind of a Node's address to use, the best first",
    )  # fmt: skip
    add("--kubelet-certificate-authority", dest="kubelet_authority", type=Path)
    add("--kubelet-insecure-tls", type=flag_bool, nargs="?", const=True, default=False)
    add("--bind-address", default="0.0.0.0", help="where the API is served")  # noqa: S104
    add("--secure-port", type=int, default=443, help="its port; 0 for any free one")
    add("--tls-cert-file", dest="cert_file", type=Path)
    add("--tls-private-key-file", dest="key_file", type=Path)
    add("--requestheader-client-ca-file", type=Path, help="whose certificates the front proxy has")
    add("--requestheader-allowed-names", type=_names, default=(), help="its common names; none given: any")
    add("--v", dest="verbosity", type=int, default=0, help="how much to log")
    return parser


def _names(text: str) -> Sequence[str]:
    return tuple(name for name in text.split(",") if name)

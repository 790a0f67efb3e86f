"""Configuration of the scheduler: its flags, under upstream's names.

Owns: flag names, defaults, and their checks. Elsewhere: plug-ins and weights (registry.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kplane.runtime.delegation import settings as delegation
from kplane.runtime.delegation.settings import DelegationSettings
from kplane.runtime.process import Fatal, FlagParser, flag_bool, flag_duration

_DELEGATION = DelegationSettings(authentication_tolerate_lookup_failure=True)


@dataclass(frozen=True)
class Config:
    kubeconfig: Path | None = None
    leader_elect: bool = True
    lease_name: str = "kube-scheduler"
    lease_namespace: str = "kube-system"
    lease_duration: float = 15
    renew_deadline: float = 10
    retry_period: float = 2
    bind_address: str = "0.0.0.0"  # noqa: S104 - upstream's default
    secure_port: int = 10259
    cert_file: Path | None = None
    key_file: Path | None = None
    delegation: DelegationSettings = _DELEGATION
    """Who may use the port."""
    verbosity: int = 0


def parse(argv: Sequence[str] | None) -> Config:
    """Flags to Config. Raises Fatal for what makes no sense."""
    options = vars(_parser().parse_args(argv))
    config = Config(delegation=delegation.settle(options), **options)
    if config.renew_deadline >= config.lease_duration:
        raise Fatal("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline")
    return config


def _parser() -> FlagParser:
    parser = FlagParser("kplane scheduler", "Chooses a node for every Pod that has none.")
    add = parser.add_argument
    add("--kubeconfig", type=Path, help="how to reach the API server")
    add("--leader-elect", type=flag_bool, nargs="?", const=True, default=True)
    add("--leader-elect-resource-name", dest="lease_name", default="kube-scheduler")
    add("--leader-elect-resource-namespace", dest="lease_namespace", default="kube-system")
    add("--leader-elect-lease-duration", dest="lease_duration", type=flag_duration, default=15.0)
    add("--leader-elect-renew-deadline", dest="renew_deadline", type=flag_duration, default=10.0)
    add("--leader-elect-retry-period", dest="retry_period", type=flag_duration, default=2.0)
    add("--bind-address", default="0.0.0.0", help="where health and metrics are served")  # noqa: S104
    add("--secure-port", type=int, default=10259, help="its port; 0 for any free one")
    add("--tls-cert-file", dest="cert_file", type=Path)
    add("--tls-private-key-file", dest="key_file", type=Path)
    delegation.add_flags(parser, tolerate_lookup_failure=True)
    add("--v", dest="verbosity", type=int, default=0, help="how much to log")
    return parser

"""Flags of upstream's controller manager that have no effect here: they are taken, so that its manifests
start, and the log names those that were given.

Not among them: flags without which the manager would work on another cluster, or beside another leader; these
stay refused.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from typing import Any

from kplane.runtime.process import flag_bool

VALUES = (
    "allow-metric-labels", "allow-metric-labels-manifest", "cert-dir", "cloud-config", "cloud-provider",
    "cluster-name", "concurrent-service-syncs", "controller-start-interval", "disabled-metrics",
    "emulated-version", "external-cloud-volume-plugin", "http2-max-streams-per-connection",
    "kube-api-burst", "kube-api-content-type", "kube-api-qps", "log-flush-frequency",
    "log-json-info-buffer-size", "log-text-info-buffer-size", "logging-format", "min-resync-period",
    "requestheader-allowed-names", "requestheader-client-ca-file", "requestheader-extra-headers-prefix",
    "requestheader-group-headers", "requestheader-uid-headers", "requestheader-username-headers",
    "route-reconciliation-period", "show-hidden-metrics-for-version", "tls-cipher-suites",
    "tls-min-version", "tls-sni-cert-key", "vmodule",
)  # fmt: skip
SWITCHES = (
    "configure-cloud-routes", "contention-profiling", "disable-http2-serving",
    "emulation-forward-compatible", "log-json-split-stream", "log-text-split-stream",
    "permit-address-sharing", "permit-port-sharing", "profiling",
)  # fmt: skip
_TEXT = "without effect"


class _Noted(Action):
    """Keeps the name of the flag, and not what it was set to."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option: Any = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), option))


def add_flags(parser: ArgumentParser) -> None:
    parser.set_defaults(ignored=())
    for name in VALUES:
        parser.add_argument(f"--{name}", dest="ignored", action=_Noted, help=_TEXT)
    for name in SWITCHES:
        parser.add_argument(
            f"--{name}", dest="ignored", action=_Noted, type=flag_bool, nargs="?", const=True, help=_TEXT
        )
    # Upstream has had other kinds once.
    parser.add_argument(
        "--leader-elect-resource-lock", dest="ignored", action=_Noted, choices=("leases",), help=_TEXT
    )

"""Configuration of the controller manager: its flags, under upstream's names.

Owns: flag names, defaults, and their checks. Elsewhere: what the flags mean (the controllers).
"""

from __future__ import annotations

import operator
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kplane.api.resource import Object
from kplane.runtime.delegation import settings as delegation
from kplane.runtime.delegation.settings import DelegationSettings
from kplane.runtime.process import Fatal, FlagParser, flag_bool

from . import ignored, networkflags
from .aliases import full_name
from .certificates import flags as signing
from .nodeipam.ranges import Network
from .storage import flags as storageflags

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


OFF_BY_DEFAULT = frozenset({"kubelet-serving-approving-controller"})
"""Controllers that `*` does not stand for; upstream leaves their decision to people."""


@dataclass(frozen=True)
class Config:
    kubeconfig: Path | None = None
    use_service_account_credentials: bool = False
    controllers: Sequence[str] = ("*",)
    workers: Mapping[str, int] = field(default_factory=dict)
    """Controller -> keys at once; the registry's default where it is missing."""
    leader_elect: bool = True
    lease_name: str = "kube-controller-manager"
    lease_namespace: str = "kube-system"
    lease_duration: float = 15
    renew_deadline: float = 10
    retry_period: float = 2
    bind_address: str = "0.0.0.0"  # noqa: S104 - upstream's default
    secure_port: int = 10257
    cert_file: Path | None = None
    key_file: Path | None = None
    delegation: DelegationSettings = field(default_factory=DelegationSettings)
    """Who may use the port."""
    root_ca_file: Path | None = None
    service_account_private_key_file: Path | None = None
    legacy_token_clean_up_period: float = 365 * 24 * 3600
    """How long a token in a Secret may go unused before it is marked, and then marked before it goes."""
    cluster_signing_duration: float = 365 * 24 * 3600
    """Longest life of a certificate that the signing controller signs."""
    signing_files: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    """Signer -> its authority's certificate and key."""
    max_endpoints_per_slice: int = 100
    node_monitor_period: float = 5
    node_monitor_grace_period: float = 50
    node_startup_grace_period: float = 60
    node_eviction_rate: float = 0.1
    """Nodes per second and zone whose Pods are moved away."""
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    enable_garbage_collector: bool = True
    namespace_sync_period: float = 300
    """Longest time between two looks at a namespace that is being deleted."""
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    terminated_pod_gc_threshold: int = 12500
    """Finished Pods that are kept; 0 for all."""
    allocate_node_cidrs: bool = False
    cluster_cidrs: Sequence[Network] = ()
    service_cidrs: Sequence[Network] = ()
    node_cidr_mask_size: int = 0
    """Bits of a Node's range of Pod addresses; 0 for the family's default."""
    node_cidr_mask_size_ipv4: int = 0
    node_cidr_mask_size_ipv6: int = 0
    mirroring_max_endpoints_per_subset: int = 1000
    endpoint_updates_batch_period: float = 0
    """Seconds for which changes of Pods are gathered before Endpoints are written."""
    endpointslice_updates_batch_period: float = 0
    mirroring_endpointslice_updates_batch_period: float = 0
    disable_force_detach_on_timeout: bool = False
    """Whether a volume stays at an unhealthy Node that holds it, however long that lasts."""
    enable_dynamic_provisioning: bool = True
    pvclaimbinder_sync_period: float = 15
    """Seconds after which what waits is looked at, and told of, again."""
    pv_recycler_template_nfs: Object | None = None
    """The Pod that empties such a volume; None for ours."""
    pv_recycler_template_hostpath: Object | None = None
    pv_recycler_minimum_timeout_nfs: int = 300
    pv_recycler_minimum_timeout_hostpath: int = 60
    pv_recycler_increment_timeout_nfs: int = 30
    pv_recycler_timeout_increment_hostpath: int = 30
    resource_quota_sync_period: float = 300
    """Seconds between two counts of a quota."""
    hpa_sync_period: float = 15
    hpa_tolerance: float = 0.1
    hpa_downscale_stabilization: float = 300
    hpa_cpu_initialization_period: float = 300
    hpa_initial_readiness_delay: float = 30
    verbosity: int = 0
    ignored: Sequence[str] = ()
    """Flags that were given and have no effect."""

    def enabled(self, name: str) -> bool:
        """Whether `--controllers` lets this one run: by its own name, else by `*`."""
        if f"-{name}" in self.controllers:
            return False
        return name in self.controllers or ("*" in self.controllers and name not in OFF_BY_DEFAULT)


def parse(argv: Sequence[str] | None, known: Mapping[str, tuple[str, int]]) -> Config:
    """Flags to Config. `known` are the controllers that exist, each with the flag for its number of workers
    and the default. Raises Fatal for what makes no sense."""
    options = vars(_parser(known).parse_args(argv))
    listed = (name for text in options.pop("controllers") for name in text.split(",") if name)
    chosen = tuple(full_name(name) for name in listed)
    for name in chosen:
        if name != "*" and name.removeprefix("-") not in known:
            raise Fatal(f'"{name}" is not in the list of known controllers: {", ".join(sorted(known))}')
    workers = {
        name: options.pop(flag.replace("-", "_")) if flag else default
        for name, (flag, default) in known.items()
    }
    if any(count < 1 for count in workers.values()):
        raise Fatal("the number of concurrent syncs must be at least 1")
    options["feature_gates"] = _gates(options["feature_gates"])
    options["signing_files"] = signing.files(options)
    options["delegation"] = delegation.settle(options)
    networkflags.settle(options)
    storageflags.settle(options)
    if not 1 <= options["max_endpoints_per_slice"] <= 1000:
        raise Fatal("--max-endpoints-per-slice must be from 1 to 1000")
    return Config(controllers=chosen or ("*",), workers=workers, **options)


def _parser(known: Mapping[str, tuple[str, int]]) -> FlagParser:
    parser = FlagParser("kplane controller-manager", "Brings the cluster towards its specs.")
    add = parser.add_argument
    add("--kubeconfig", type=Path, help="how to reach the API server")
    add(
        "--use-service-account-credentials", type=flag_bool, nargs="?", const=True, default=False,
        help="let each controller ask as a service account of its own",
    )  # fmt: skip
    add(
        "--controllers", action="append", default=[],
        help=f"'*' for all, 'name' for one, '-name' to leave one out; known: {', '.join(sorted(known))}",
    )  # fmt: skip
    for flag, default in filter(operator.itemgetter(0), known.values()):
        add(f"--{flag}", type=int, default=default, help="keys worked on at once")
    add("--leader-elect", type=flag_bool, nargs="?", const=True, default=True)
    add("--leader-elect-resource-name", dest="lease_name", default="kube-controller-manager")
    add("--leader-elect-resource-namespace", dest="lease_namespace", default="kube-system")
    add("--leader-elect-lease-duration", dest="lease_duration", type=_seconds, default=15.0)
    add("--leader-elect-renew-deadline", dest="renew_deadline", type=_seconds, default=10.0)
    add("--leader-elect-retry-period", dest="retry_period", type=_seconds, default=2.0)
    add("--bind-address", default="0.0.0.0", help="where health and metrics are served")  # noqa: S104
    add("--secure-port", type=int, default=10257, help="its port; 0 for any free one")
    add("--tls-cert-file", dest="cert_file", type=Path)
    add("--tls-private-key-file", dest="key_file", type=Path)
    add("--root-ca-file", type=Path, help="certificate authority published in every namespace")
    add("--service-account-private-key-file", type=Path, help="key that signs the tokens in Secrets")
    add(
        "--legacy-service-account-token-clean-up-period", dest="legacy_token_clean_up_period",
        type=_seconds, default=365 * 24 * 3600.0, help="how long such a token may go unused",
    )  # fmt: skip
    delegation.add_flags(parser, tolerate_lookup_failure=False)
    signing.add_flags(parser)
    networkflags.add_flags(parser)
    storageflags.add_flags(parser)
    ignored.add_flags(parser)
    add("--cluster-signing-duration", type=_seconds, default=365 * 24 * 3600.0, help="longest life it signs")
    add("--max-endpoints-per-slice", type=int, default=100)
    add("--node-monitor-period", type=_seconds, default=5.0, help="time between two looks at all nodes")
    add("--node-monitor-grace-period", type=_seconds, default=50.0, help="silence that makes a node Unknown")
    add("--node-startup-grace-period", type=_seconds, default=60.0, help="the same for one that starts")
    add("--node-eviction-rate", type=float, default=0.1, help="nodes per second and zone to move Pods from")
    add("--secondary-node-eviction-rate", type=float, default=0.01, help="the same in an unhealthy zone")
    add("--unhealthy-zone-threshold", type=float, default=0.55, help="share of lost nodes of such a zone")
    add("--large-cluster-size-threshold", type=int, default=50, help="zones up to this lose no nodes then")
    add("--enable-garbage-collector", type=flag_bool, nargs="?", const=True, default=True)
    add("--namespace-sync-period", type=_seconds, default=300.0, help="time between two looks at a namespace")
    add("--feature-gates", action="append", default=[], help="as Name=true, with commas between them")
    add("--terminated-pod-gc-threshold", type=int, default=12500, help="finished Pods to keep; 0 for all")
    add("--resource-quota-sync-period", type=_seconds, default=300.0, help="time between two counts")
    hpa = "horizontal-pod-autoscaler"
    add(f"--{hpa}-sync-period", dest="hpa_sync_period", type=_seconds, default=15.0)
    add(f"--{hpa}-tolerance", dest="hpa_tolerance", type=float, default=0.1)
    add(f"--{hpa}-downscale-stabilization", dest="hpa_downscale_stabilization", type=_seconds, default=300.0)
    add(
        f"--{hpa}-cpu-initialization-period",
        dest="hpa_cpu_initialization_period",
        type=_seconds,
        default=300.0,
    )
    add(f"--{hpa}-initial-readiness-delay", dest="hpa_initial_readiness_delay", type=_seconds, default=30.0)
    add("--v", dest="verbosity", type=int, default=0, help="how much to log")
    return parser


def _gates(texts: Sequence[str]) -> dict[str, bool]:
    """Later ones count. Raises Fatal."""
    found: dict[str, bool] = {}
    for pair in filter(None, (part.strip() for text in texts for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals:
            raise Fatal(f"missing bool value for {name}")
        try:
            found[name] = flag_bool(value)
        except ArgumentTypeError as error:
            raise Fatal(f"invalid value of {name}={value}, err: {error}") from error
    return found


def _seconds(text: str) -> float:
    """A duration such as `15s`, `1m30s` or `500ms`."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Fatal(f'"{text}" is not a duration such as 15s or 1m30s')
    return sum(float(number) * units[unit] for number, unit in parts)

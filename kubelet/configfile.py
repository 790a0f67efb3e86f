"""The file of `--config`: a KubeletConfiguration, which is where flags have their defaults from.

Fields that upstream knows and this kubelet has no use for are passed over, and named in the log. A field that
nobody knows is refused: it is a mistake that would otherwise go unseen.

Source: k8s.io/kubelet/config/v1beta1, pkg/kubelet/apis/config/v1beta1/defaults.go.
"""

from __future__ import annotations

import logging
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from kplane.api.resource import Object
from kplane.runtime.process import Fatal, flag_duration

log = logging.getLogger(__name__)

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"

_UNUSED = """
allowedUnsafeSysctls cgroupDriver cgroupsPerQOS configMapAndSecretChangeDetectionStrategy
containerLogMaxFiles containerLogMaxSize containerLogMaxWorkers containerLogMonitorInterval contentType
cpuCFSQuota cpuCFSQuotaPeriod cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod
crashLoopBackOff enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler
enableDebuggingHandlers enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery
enforceNodeAllocatable eventBurst eventRecordQPS evictionHard evictionMaxPodGracePeriod
evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft evictionSoftGracePeriod failCgroupV1
failSwapOn featureGates fileCheckFrequency hairpinMode httpCheckFrequency imageGCHighThresholdPercent
imageGCLowThresholdPercent imageMaximumGCAge imageMinimumGCAge imagePullCredentialsVerificationPolicy
imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS
kubeReserved kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging
makeIPTablesUtilChains maxOpenFiles maxParallelImagePulls memoryManagerPolicy memorySwap
memoryThrottlingFactor mergeDefaultEvictionSettings nodeStatusMaxImages oomScoreAdj podPidsLimit
podsPerCore preloadedImagesVerificationAllowlist protectKernelDefaults providerID qosReserved
registryBurst registryPullQPS reservedMemory reservedSystemCPUs runOnce runtimeRequestTimeout
seccompDefault showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority
shutdownGracePeriodCriticalPods singleProcessOOMKill staticPodPath staticPodURL staticPodURLHeader
streamingConnectionIdleTimeout syncFrequency systemCgroups systemReserved systemReservedCgroup
tlsCipherSuites tlsCurvePreferences tlsMinVersion topologyManagerPolicy topologyManagerPolicyOptions
topologyManagerScope tracing userNamespaces volumePluginDir volumeStatsAggPeriod
"""
UNUSED = frozenset(_UNUSED.split())
"""Upstream's fields that have no effect here."""


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of the file. None: not said."""


class X509(_Part, frozen=True):
    client_ca_file: str = msgspec.field(default="", name="clientCAFile")


class TokenWebhook(_Part, frozen=True):
    enabled: bool = True
    cache_ttl: str = msgspec.field(default="2m0s", name="cacheTTL")


class Anonymous(_Part, frozen=True):
    enabled: bool = False


class Authentication(_Part, frozen=True):
    x509: X509 = X509()
    webhook: TokenWebhook = TokenWebhook()
    anonymous: Anonymous = Anonymous()


class AccessWebhook(_Part, frozen=True):
    authorized: str = msgspec.field(default="5m0s", name="cacheAuthorizedTTL")
    unauthorized: str = msgspec.field(default="30s", name="cacheUnauthorizedTTL")


class Authorization(_Part, frozen=True):
    mode: str = "Webhook"
    webhook: AccessWebhook = AccessWebhook()


class Taint(_Part, frozen=True):
    key: str
    effect: str
    value: str = ""
    time_added: str | None = None

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


class KubeletConfiguration(_Part, frozen=True):
    """The fields that count, with upstream's defaults for whatever the file does not say. Empty: the flag's
    default holds."""

    address: str | None = None
    port: int | None = None
    read_only_port: int = 0
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    rotate_certificates: bool = False
    server_tls_bootstrap: bool = msgspec.field(default=False, name="serverTLSBootstrap")
    authentication: Authentication = Authentication()
    authorization: Authorization = Authorization()
    healthz_port: int | None = None
    healthz_bind_address: str | None = None
    cluster_domain: str | None = None
    cluster_dns: Sequence[str] = msgspec.field(default=(), name="clusterDNS")
    node_status_update_frequency: str | None = None
    node_status_report_frequency: str | None = None
    node_lease_duration_seconds: int | None = None
    max_pods: int | None = None
    pod_cidr: str | None = msgspec.field(default=None, name="podCIDR")
    pod_logs_dir: str | None = None
    resolv_conf: str | None = None
    serialize_image_pulls: bool = True
    register_node: bool = True
    register_with_taints: Sequence[Taint] = ()
    cgroup_root: str | None = None
    container_runtime_endpoint: str | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(KubeletConfiguration))


def load(path: Path) -> Mapping[str, Any]:
    """The defaults that the file gives to flags, by the flags' names in the parsed result. Raises Fatal."""
    try:
        return flags(parse(path.read_text()), path.absolute().parent)
    except OSError as error:
        raise _fault(path, error.strerror or str(error)) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise _fault(path, f"it is not YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise _fault(path, str(error)) from error


def _fault(path: Path, why: str) -> Fatal:
    return Fatal(f"failed to load kubelet config file, path: {path}, error: {why}")


def parse(text: str) -> KubeletConfiguration:
    """Raises ValueError that says which field is wrong, yaml.YAMLError."""
    root = yaml.safe_load(text)
    if not isinstance(root, dict):
        raise ValueError(f"it is not a {KIND}")
    said = root.pop("apiVersion", None), root.pop("kind", None)
    if said != (API_VERSION, KIND):
        raise ValueError(
            f'no kind "{said[1] or ""}" is registered for version "{said[0] or ""}": '
            f"{API_VERSION} {KIND} is expected"
        )
    unknown = sorted(str(name) for name in root if name not in _KNOWN and name not in UNUSED)
    if unknown:
        faults = ", ".join(f'unknown field "{name}"' for name in unknown)
        raise ValueError(f"strict decoding error: {faults}")
    if unused := sorted(name for name in root if name in UNUSED):
        log.info("fields of the configuration file without an effect fields=%s", ",".join(unused))
    used = {name: value for name, value in root.items() if name in _KNOWN and value is not None}
    found: KubeletConfiguration = msgspec.convert(used, KubeletConfiguration)
    _check(found)
    return found


def _check(config: KubeletConfiguration) -> None:
    """Raises ValueError."""
    if config.read_only_port:
        raise ValueError("readOnlyPort must be 0: there is no port without authentication")
    for name, port in (("port", config.port), ("healthzPort", config.healthz_port)):
        if port is not None and not 0 <= port <= 65535:
            raise ValueError(f"invalid configuration: {name} {port} must be between 0 and 65535, inclusive")
    if bool(config.tls_cert_file) is not bool(config.tls_private_key_file):
        raise ValueError("tlsCertFile and tlsPrivateKeyFile belong together")


def flags(config: KubeletConfiguration, folder: Path) -> Mapping[str, Any]:
    """Paths are relative to the file's own `folder`. What is empty, 0 or 0s is as if it was not said."""
    authentication, authorization = config.authentication, config.authorization
    updated = _seconds("nodeStatusUpdateFrequency", config.node_status_update_frequency)
    reported = _seconds("nodeStatusReportFrequency", config.node_status_report_frequency)
    found: Object = {
        "address": config.address,
        "port": config.port or None,
        "tls_cert_file": _path(folder, config.tls_cert_file),
        "tls_private_key_file": _path(folder, config.tls_private_key_file),
        "rotate_certificates": config.rotate_certificates,
        "rotate_server_certificates": config.server_tls_bootstrap,
        "client_ca_file": _path(folder, authentication.x509.client_ca_file),
        "anonymous_auth": authentication.anonymous.enabled,
        "authentication_token_webhook": authentication.webhook.enabled,
        "authentication_token_webhook_cache_ttl": _seconds("cacheTTL", authentication.webhook.cache_ttl),
        "authorization_mode": authorization.mode,
        "authorization_webhook_cache_authorized_ttl": _seconds(
            "cacheAuthorizedTTL", authorization.webhook.authorized
        ),
        "authorization_webhook_cache_unauthorized_ttl": _seconds(
            "cacheUnauthorizedTTL", authorization.webhook.unauthorized
        ),
        "healthz_port": config.healthz_port,
        "healthz_bind_address": config.healthz_bind_address,
        "cluster_domain": config.cluster_domain,
        "cluster_dns": ",".join(config.cluster_dns),
        "node_status_update_frequency": updated,
        "node_status_report_frequency": reported or updated,
        "node_lease_duration_seconds": config.node_lease_duration_seconds or None,
        "max_pods": config.max_pods or None,
        "pod_cidr": config.pod_cidr,
        "pod_logs_dir": _path(folder, config.pod_logs_dir),
        "resolv_conf": _path(folder, config.resolv_conf),
        "serialize_image_pulls": config.serialize_image_pulls,
        "register_node": config.register_node,
        "register_with_taints": ",".join(map(str, config.register_with_taints)),
        "cgroup_root": config.cgroup_root,
        "container_runtime_endpoint": config.container_runtime_endpoint,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _path(folder: Path, name: str | None) -> Path | None:
    return folder / name if name else None


def _seconds(name: str, text: str | None) -> float | None:
    """None for no duration. Raises ValueError."""
    if text is None:
        return None
    try:
        return flag_duration(text) or None
    except ArgumentTypeError as error:
        raise ValueError(f"{name}: {error}") from error

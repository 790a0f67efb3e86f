"""Which processes a cluster has: a plain function from options to `ProcessSpec`s.

Every component is started as `python -m kplane.<component>` with upstream's flags; etcd and containerd are
the system's, with folders of the cluster's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kplane.runtime import pause

from . import metricsserver
from .containers import clean_node, cri_answers, import_image, remove_socket, run_quietly, stop_pods
from .layout import Layout
from .options import Options, Runtime, StoreKind, find_program
from .probes import Probe, http_ok
from .rights import grant
from .supervisor import ProcessSpec

BRIDGE = "kplane0"
"""The bridge of this machine's Pods."""

BOOTSTRAP = "bootstrap-kubelet"
"""The kubeconfig with a joining node's token; it goes when the node has an identity of its own."""

CLOSED = ("--anonymous-auth=false", "--authentication-token-webhook=true", "--authorization-mode=Webhook")
"""A kubelet that asks the API who its callers are, and what they may do."""

CONTROLLERS = "--controllers=*,kubelet-serving-approving-controller"
"""All, and the one that lets a node prove that it is the kubelet at its addresses."""

AFTER_API = ("apiserver",)
"""Components could start beside the API server and retry; on few cores that only makes both slower."""


@dataclass(frozen=True)
class Ports:
    """Where a cluster's processes listen."""

    api: int
    etcd: int
    etcd_peer: int
    etcd_metrics: int = 2381
    kubelet: int = 10250
    kubelet_health: int = 10248
    scheduler: int = 10259
    controller_manager: int = 10257
    proxy_health: int = 10256
    proxy_metrics: int = 10249
    metrics_server: int = 4443


def processes(layout: Layout, options: Options, ports: Ports) -> list[ProcessSpec]:
    """Every process in the order in which they start; they stop in the reverse order."""
    specs: list[ProcessSpec] = []
    if options.store is StoreKind.ETCD and not options.etcd_servers:
        specs.append(_etcd(layout, ports))
    if options.runtime is Runtime.CONTAINERD:
        specs.append(containerd(layout, options))
    specs.append(_apiserver(layout, options, ports))
    specs.append(_scheduler(layout, options, ports))
    specs.append(_controller_manager(layout, options, ports))
    specs.append(_kubelet(layout, options, ports))
    if options.runtime is Runtime.CONTAINERD:
        specs.append(_proxy(layout, options, ports))
    if options.metrics_server:
        specs.append(_metrics_server(layout, options, ports))
    return specs


def _component(name: str, flags: Iterator[str], verbosity: int) -> Sequence[str]:
    return [sys.executable, "-m", f"kplane.{name}", *flags, f"--v={verbosity}"]


def _etcd(layout: Layout, ports: Ports) -> ProcessSpec:
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    health = f"http://127.0.0.1:{ports.etcd_metrics}"
    argv = [
        find_program("etcd") or "etcd", "--name=kplane", f"--data-dir={layout.etcd}",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=kplane={peer}", f"--listen-metrics-urls={health}",
        *etcd_trust_flags(layout.pki), "--log-level=warn", "--logger=zap",
    ]  # fmt: skip
    ready = http_ok(f"{health}/health")
    return ProcessSpec("etcd", argv, layout.log("etcd"), ready=ready)


def etcd_trust_flags(pki: Path) -> Sequence[str]:
    """Who an etcd of the cluster's own is, and that it trusts nobody but its authority."""
    keys = pki / "etcd"
    return [
        f"--cert-file={keys / 'server.crt'}", f"--key-file={keys / 'server.key'}",
        f"--peer-cert-file={keys / 'peer.crt'}", f"--peer-key-file={keys / 'peer.key'}",
        f"--trusted-ca-file={keys / 'ca.crt'}", f"--peer-trusted-ca-file={keys / 'ca.crt'}",
        "--client-cert-auth", "--peer-client-cert-auth",
    ]  # fmt: skip


def containerd(layout: Layout, options: Options) -> ProcessSpec:
    """The node's containerd; with it go the bridge, the mounts and the cgroups of its Pods."""
    argv = [find_program("containerd") or "containerd", "--config", str(layout.containerd / "config.toml")]
    return ProcessSpec(
        "containerd",
        argv,
        layout.log("containerd"),
        ready=cri_answers(layout.containerd_socket),
        before_start=partial(remove_socket, layout.containerd_socket),
        after_stop=partial(clean_node, layout.containerd, BRIDGE, options.cgroup_root),
    )


def _apiserver(layout: Layout, options: Options, ports: Ports) -> ProcessSpec:
    pki = layout.pki

    def flags() -> Iterator[str]:
        yield f"--secure-port={ports.api}"
        yield f"--bind-address={options.bind_address}"
        yield f"--advertise-address={options.address}"
        if options.etcd_servers:
            yield f"--etcd-servers={options.etcd_servers}"
        elif options.store is StoreKind.ETCD:
            yield f"--etcd-servers=https://127.0.0.1:{ports.etcd}"
            yield from etcd_client_flags(pki)
        else:
            yield f"--storage-dir={layout.store}"
        yield f"--service-cluster-ip-range={options.service_cidr}"
        yield from trust_flags(pki)

    after = ["etcd"] if options.store is StoreKind.ETCD and not options.etcd_servers else []
    ready = http_ok(f"https://127.0.0.1:{ports.api}/readyz", pki)
    argv = _component("apiserver", flags(), options.verbosity)
    return ProcessSpec("apiserver", argv, layout.log("apiserver"), after, ready)


def etcd_client_flags(pki: Path) -> Iterator[str]:
    """How the API server speaks to an etcd of the cluster's own."""
    yield f"--etcd-cafile={pki / 'etcd' / 'ca.crt'}"
    yield f"--etcd-certfile={pki / 'apiserver-etcd-client.crt'}"
    yield f"--etcd-keyfile={pki / 'apiserver-etcd-client.key'}"


def trust_flags(pki: Path) -> Iterator[str]:
    """Whom the API server lets in, what they may do, and who it is itself."""
    yield "--authorization-mode=Node,RBAC"
    yield "--enable-admission-plugins=NodeRestriction"
    yield f"--tls-cert-file={pki / 'apiserver.crt'}"
    yield f"--tls-private-key-file={pki / 'apiserver.key'}"
    yield f"--client-ca-file={pki / 'ca.crt'}"
    yield "--service-account-issuer=https://kubernetes.default.svc.cluster.local"
    yield f"--service-account-key-file={pki / 'sa.pub'}"
    yield f"--service-account-signing-key-file={pki / 'sa.key'}"
    yield "--enable-bootstrap-token-auth=true"
    yield f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}"
    yield f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}"
    yield f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}"
    yield f"--proxy-client-key-file={pki / 'front-proxy-client.key'}"
    yield f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}"
    yield "--requestheader-allowed-names=front-proxy-client"
    yield "--requestheader-username-headers=X-Remote-User"
    yield "--requestheader-group-headers=X-Remote-Group"
    yield "--requestheader-extra-headers-prefix=X-Remote-Extra-"
    yield f"--kubelet-certificate-authority={pki / 'ca.crt'}"


def delegation_flags(identity: Path, authority: Path) -> Iterator[str]:
    """Who may read a component's metrics: whom the API server knows and allows, asked as the component."""
    yield f"--authentication-kubeconfig={identity}"
    yield f"--authorization-kubeconfig={identity}"
    yield f"--client-ca-file={authority}"


def _scheduler(layout: Layout, options: Options, ports: Ports) -> ProcessSpec:
    flags = iter(
        [
            f"--kubeconfig={layout.kubeconfig('kube-scheduler')}",
            *delegation_flags(layout.kubeconfig("kube-scheduler"), layout.pki / "ca.crt"),
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.scheduler}",
            f"--tls-cert-file={layout.pki / 'kube-scheduler-serving.crt'}",
            f"--tls-private-key-file={layout.pki / 'kube-scheduler-serving.key'}",
            "--leader-elect=false",
        ]
    )
    argv = _component("scheduler", flags, options.verbosity)
    ready = http_ok(f"https://127.0.0.1:{ports.scheduler}/healthz", layout.pki)
    return ProcessSpec("scheduler", argv, layout.log("scheduler"), AFTER_API, ready)


def _controller_manager(layout: Layout, options: Options, ports: Ports) -> ProcessSpec:
    flags = iter(
        [
            f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
            *delegation_flags(layout.kubeconfig("kube-controller-manager"), layout.pki / "ca.crt"),
            CONTROLLERS,
            "--use-service-account-credentials=true",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.controller_manager}",
            f"--root-ca-file={layout.pki / 'ca.crt'}",
            f"--service-account-private-key-file={layout.pki / 'sa.key'}",
            f"--cluster-signing-cert-file={layout.pki / 'ca.crt'}",
            f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
            f"--tls-cert-file={layout.pki / 'kube-controller-manager-serving.crt'}",
            f"--tls-private-key-file={layout.pki / 'kube-controller-manager-serving.key'}",
            "--leader-elect=false",
        ]
    )
    argv = _component("controllers", flags, options.verbosity)
    ready = http_ok(f"https://127.0.0.1:{ports.controller_manager}/healthz", layout.pki)
    return ProcessSpec(
        "controller-manager",
        argv,
        layout.log("controller-manager"),
        AFTER_API,
        ready,
        before_start=partial(grant, layout.kubeconfig("super-admin")),
    )


def _metrics_server(layout: Layout, options: Options, ports: Ports) -> ProcessSpec:
    pki = layout.pki
    flags = iter(
        [
            f"--kubeconfig={layout.kubeconfig(metricsserver.NAME)}",
            "--metric-resolution=15s",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.metrics_server}",
            f"--tls-cert-file={pki / 'metrics-server-serving.crt'}",
            f"--tls-private-key-file={pki / 'metrics-server-serving.key'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
        ]
    )
    argv = _component("metricsserver", flags, options.verbosity)
    ready = http_ok(f"https://127.0.0.1:{ports.metrics_server}/livez", pki)
    register = partial(
        metricsserver.register, layout.kubeconfig("super-admin"), ports.metrics_server, pki / "ca.crt"
    )
    return ProcessSpec(
        metricsserver.NAME, argv, layout.log(metricsserver.NAME), AFTER_API, ready, before_start=register
    )


def _kubelet(layout: Layout, options: Options, ports: Ports) -> ProcessSpec:
    certificate = layout.pki / f"kubelet-{options.node_name}.crt"

    def flags() -> Iterator[str]:
        yield f"--tls-cert-file={certificate}"
        yield f"--tls-private-key-file={certificate.with_suffix('.key')}"
        yield from CLOSED
        yield from _kubelet_flags(layout, options, ports)
        if options.runtime is Runtime.HOLLOW:
            yield f"--hollow-nodes={options.nodes}"

    return _kubelet_spec(layout, options, flags(), AFTER_API, _kubelet_ready(ports))


def _kubelet_ready(ports: Ports) -> Probe:
    """Its health port asks nobody who they are; the node server does."""
    return http_ok(f"http://127.0.0.1:{ports.kubelet_health}/healthz")


def _kubelet_flags(layout: Layout, options: Options, ports: Ports) -> Iterator[str]:
    yield f"--kubeconfig={layout.kubeconfig('kubelet')}"
    yield f"--hostname-override={options.node_name}"
    yield f"--root-dir={layout.kubelet}"
    yield f"--address={options.address}"
    yield f"--port={ports.kubelet}"
    yield f"--node-ip={options.address}"
    yield f"--healthz-port={ports.kubelet_health}"
    yield f"--client-ca-file={layout.pki / 'ca.crt'}"
    yield f"--pod-cidr={options.pod_cidr}"
    if options.runtime is Runtime.HOLLOW:
        yield "--container-runtime-endpoint=hollow://"
    else:
        yield f"--container-runtime-endpoint=unix://{layout.containerd_socket}"
        yield f"--cgroup-root={options.cgroup_root}"


def _kubelet_spec(
    layout: Layout, options: Options, flags: Iterator[str], after: Sequence[str], ready: Probe
) -> ProcessSpec:
    argv = _component("kubelet", flags, options.verbosity)
    if options.runtime is Runtime.HOLLOW:
        return ProcessSpec("kubelet", argv, layout.log("kubelet"), after, ready)
    return ProcessSpec(
        "kubelet",
        argv,
        layout.log("kubelet"),
        after=["containerd", *after],
        ready=ready,
        before_start=partial(import_image, layout.containerd_socket, pause.image()),
        after_stop=partial(stop_pods, layout.containerd_socket),
    )


def node_processes(layout: Layout, options: Options, ports: Ports) -> list[ProcessSpec]:
    """Those of a machine that joins a cluster: no control plane, and certificates that are asked for."""

    def flags() -> Iterator[str]:
        yield f"--bootstrap-kubeconfig={layout.kubeconfig(BOOTSTRAP)}"
        yield f"--cert-dir={layout.pki}"
        yield "--rotate-certificates=true"
        yield "--rotate-server-certificates=true"
        if layout.kubelet_config.exists():
            yield f"--config={layout.kubelet_config}"
        else:
            yield from CLOSED
        yield from _kubelet_flags(layout, options, ports)

    kubelet = _kubelet_spec(layout, options, flags(), (), _kubelet_ready(ports))
    if options.runtime is not Runtime.CONTAINERD:
        return [kubelet]
    proxy = _proxy(layout, options, ports, "kubelet", ("kubelet",))
    return [containerd(layout, options), kubelet, proxy]


def _proxy(
    layout: Layout,
    options: Options,
    ports: Ports,
    identity: str = "kube-proxy",
    after: Sequence[str] = AFTER_API,
) -> ProcessSpec:
    flags = iter(
        [
            f"--kubeconfig={layout.kubeconfig(identity)}",
            f"--hostname-override={options.node_name}",
            f"--cluster-cidr={options.pod_cidr}",
            f"--healthz-bind-address=127.0.0.1:{ports.proxy_health}",
            f"--metrics-bind-address=127.0.0.1:{ports.proxy_metrics}",
            "--nftables-min-sync-period=100ms",
        ]
    )
    argv = _component("proxy", flags, options.verbosity)
    ready = http_ok(f"http://127.0.0.1:{ports.proxy_health}/livez")
    return ProcessSpec("proxy", argv, layout.log("proxy"), after, ready, after_stop=remove_rules)


async def remove_rules() -> None:
    """Take the proxy's packet rules out of the kernel."""
    await run_quietly([sys.executable, "-m", "kplane.proxy", "--cleanup"])

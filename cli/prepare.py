"""What must exist before a cluster starts: certificates, kubeconfigs, containerd's configuration."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import msgspec

from kplane.api.clock import Clock
from kplane.client import kubeconfig
from kplane.runtime import cni, containerd, pause, pki

from . import metricsserver
from .layout import Layout
from .options import Options, Runtime, StoreKind, cni_folder
from .plan import BRIDGE, Ports
from .rights import HOLLOW_USER

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


KUBECONFIGS = {
    "admin": "admin.conf",
    "super-admin": "super-admin.conf",
    "kube-scheduler": "scheduler.conf",
    "kube-controller-manager": "controller-manager.conf",
    metricsserver.NAME: "metrics-server.conf",
}
"""Certificates, and the kubeconfigs of `kplane init` that hold them."""


def prepare(layout: Layout, options: Options, ports: Ports) -> None:
    """Make what is missing; safe to repeat."""
    layout.make()
    first_service_ip = str(ip_network(options.service_cidr)[1])
    ips = list(dict.fromkeys(["127.0.0.1", options.address, first_service_ip]))
    names = [*SERVER_NAMES, socket.gethostname()]
    pki.ensure(layout.pki, server_names=names, server_ips=ips)
    if options.store is StoreKind.ETCD and not options.etcd_servers:
        pki.ensure_etcd(layout.pki)
    write_serving(layout.pki)
    if options.metrics_server:
        write_metrics_server(layout.pki)
    pki.issue(layout.pki, _node_request(options, ips[:2]))
    _write_kubeconfigs(layout, options, ports)
    if options.runtime is Runtime.CONTAINERD:
        write_containerd_config(layout, options)
    pki.write_private(layout.options, msgspec.json.encode(options))


def write_serving(directory: Path, clock: Clock | None = None) -> None:
    """What scheduler and controller manager serve their health and metrics with."""
    for component in ("kube-scheduler", "kube-controller-manager"):
        serving = pki.Request(
            f"{component}-serving", component, usage="server", dns_names=["localhost"], ips=["127.0.0.1"]
        )
        pki.issue(directory, serving, clock=clock)


def write_metrics_server(directory: Path, clock: Clock | None = None) -> None:
    """Who the metrics server is, to the API server and kubelets and to those who ask it."""
    name = metricsserver.NAME
    pki.issue(directory, pki.Request(name, metricsserver.USER, metricsserver.GROUPS), clock=clock)
    serving = pki.Request(
        f"{name}-serving", name, usage="server", dns_names=metricsserver.DNS_NAMES, ips=["127.0.0.1"]
    )
    pki.issue(directory, serving, clock=clock)


def _node_request(options: Options, ips: Sequence[str]) -> pki.Request:
    request = pki.node_request(options.node_name, ips)
    if options.runtime is not Runtime.HOLLOW:
        return request
    # One process is all of the hollow nodes; it cannot be each of them.
    return replace(request, common_name=HOLLOW_USER, organizations=())


def _write_kubeconfigs(layout: Layout, options: Options, ports: Ports) -> None:
    users = {
        "kube-scheduler": "kube-scheduler",
        "kube-controller-manager": "kube-controller-manager",
        "kube-proxy": "kube-proxy",
        "kubelet": f"kubelet-{options.node_name}",
        "super-admin": "super-admin",
    }
    if options.metrics_server:
        users[metricsserver.NAME] = metricsserver.NAME
    server = f"https://127.0.0.1:{ports.api}"
    for component, certificate in users.items():
        kubeconfig.write(
            layout.kubeconfig(component),
            replace(
                credentials(layout, certificate, server),
                # Named, so that a renewed certificate is used without a restart.
                certificate_file=layout.pki / f"{certificate}.crt",
                key_file=layout.pki / f"{certificate}.key",
            ),
            user=certificate,
        )
    write_admin_kubeconfig(layout, server)


def write_admin_kubeconfig(layout: Layout, server: str) -> None:
    """Everything is embedded: people copy it to where they work."""
    kubeconfig.write(layout.admin_kubeconfig, credentials(layout, "admin", server), user="admin")


def write_kubeconfigs(layout: Layout, certificates: Iterable[str], server: str) -> None:
    """Those of `kplane init` that hold these certificates: complete in themselves, to be taken elsewhere."""
    for certificate in certificates:
        user = f"kubernetes-{certificate}" if certificate.endswith("admin") else f"system:{certificate}"
        path = layout.root / KUBECONFIGS[certificate]
        kubeconfig.write(path, credentials(layout, certificate, server), cluster="kubernetes", user=user)


def credentials(layout: Layout, certificate: str, server: str) -> kubeconfig.Credentials:
    """Those of a client certificate of the cluster."""
    return kubeconfig.Credentials(
        server=server,
        ca=(layout.pki / "ca.crt").read_bytes(),
        certificate=(layout.pki / f"{certificate}.crt").read_bytes(),
        key=(layout.pki / f"{certificate}.key").read_bytes(),
    )


def write_containerd_config(layout: Layout, options: Options) -> None:
    """That of the node's own containerd, and of its Pods' network."""
    folder = layout.containerd
    conf = folder / "cni"
    conf.mkdir(mode=0o700, parents=True, exist_ok=True)
    network = cni.bridge_conflist("kplane", BRIDGE, options.pod_cidr, data_dir=str(folder / "leases"))
    pki.write_private(conf / "10-kplane.conflist", json.dumps(network, indent=2).encode())
    plugins = cni_folder()
    assert plugins is not None
    text = containerd.config(
        root=folder / "root",
        state=folder / "state",
        socket=layout.containerd_socket,
        cni_bin=plugins,
        cni_conf=conf,
        sandbox_image=pause.IMAGE,
    )
    pki.write_private(folder / "config.toml", text.encode())

"""`kplane init`: the certificates and kubeconfigs of a control plane whose components run apart, and how to
start them; then, once its API answers, what lets nodes join.

Writes: `pki/` and a kubeconfig per component below the data folder, laid out and named as kubeadm does; every
file is complete in itself, so that each can be taken to where its component runs. What is there and still
good stays, so that both steps are safe to repeat.
Elsewhere: a cluster in one place (up.py), rights (rights.py), what nodes that join find (clusterinfo.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from kplane.api.clock import Clock
from kplane.client import kubeconfig
from kplane.client.rest import connect
from kplane.runtime import pki
from kplane.runtime.process import Fatal

from . import metricsserver, tokens
from .clusterinfo import publish
from .kubeadmconfig import publish as publish_config
from .layout import Layout
from .plan import CONTROLLERS, delegation_flags, etcd_client_flags, etcd_trust_flags, trust_flags
from .prepare import KUBECONFIGS, SERVER_NAMES, write_kubeconfigs, write_metrics_server, write_serving
from .rights import grant

_DNS_NAME = re.compile(r"(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Wish:
    """What the command line says. `endpoint` is HOST[:PORT], under which all reach the API: the address of
    the one server, or the name of what stands before several. `etcd_servers` are URLs."""

    endpoint: str = ""
    advertise_address: str = ""
    port: int = 6443
    extra_names: Sequence[str] = ()
    service_cidr: str = "10.96.0.0/16"
    etcd_servers: Sequence[str] = ("https://127.0.0.1:2379",)


@dataclass(frozen=True)
class Names:
    """What a serving certificate is for."""

    dns: Sequence[str]
    ips: Sequence[str]


@dataclass(frozen=True)
class Command:
    """How one component is started, and where."""

    where: str
    words: Sequence[str]


def init(layout: Layout, wish: Wish, clock: Clock) -> Sequence[Command]:
    """Make what is missing, and say how to start each component. Raises Fatal."""
    if layout.admin_kubeconfig.exists():
        raise Fatal(f"{layout.root} belongs to a cluster of `kplane up`; choose another --data-dir")
    api, members = api_names(wish), etcd_names(wish)
    server = server_url(wish)
    made = commands(layout, wish)
    layout.make_root()
    pki.ensure(layout.pki, server_names=api.dns, server_ips=api.ips, clock=clock)
    if members is not None:
        pki.ensure_etcd(layout.pki, names=members.dns, ips=members.ips, clock=clock)
    write_serving(layout.pki, clock)
    write_metrics_server(layout.pki, clock)
    write_kubeconfigs(layout, KUBECONFIGS, server)
    return made


async def let_nodes_join(path: Path, wish: tokens.Wish, clock: Clock) -> str:
    """Give out the rights that a cluster begins with, publish `cluster-info` and make a token; what to type
    on a machine that is to join. `path` is the super-admin's kubeconfig. Raises Fatal and ApiError."""
    known, authority = _trusting(path)
    await grant(path)
    client = connect(known)
    try:
        await publish(client, known.server, authority)
        await publish_config(client, known.server)
        await tokens.create(client, wish, clock)
        return await tokens.join_command(client, wish.token)
    finally:
        await client.close()


async def announce_metrics_server(path: Path, address: str) -> None:
    """Tell the API server where the metrics server is: `address` is HOST[:PORT]. `path` is the super-admin's
    kubeconfig. Raises Fatal and ApiError."""
    flag = "--metrics-server-address"
    host, port = endpoint(address, metricsserver.PORT, flag)
    _named([host], flag)
    if ":" in host:
        raise Fatal(f"{flag} {address}: a Service cannot lead to an IPv6 address; give it a name")
    known, authority = _trusting(path)
    await metricsserver.write(connect(known), host, port, authority)


def _trusting(path: Path) -> tuple[kubeconfig.Credentials, bytes]:
    """A kubeconfig, and the authority that it trusts. Raises Fatal."""
    try:
        known = kubeconfig.load(path)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    if known.ca is None:
        raise Fatal(f"{path} names no certificate authority for nodes to trust")
    return known, known.ca


def server_url(wish: Wish) -> str:
    """Raises Fatal."""
    host, port = endpoint(wish.endpoint or wish.advertise_address, wish.port)
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def endpoint(text: str, port: int, flag: str = "--control-plane-endpoint") -> tuple[str, int]:
    """Host and port of HOST[:PORT]. Raises Fatal."""
    if not text:
        raise Fatal(f"say where it is reached: {flag} HOST[:PORT]")
    bare = text.count(":") > 1 and not text.startswith("[")
    try:
        parts = urlsplit(f"//[{text}]" if bare else f"//{text}")
        host, port = parts.hostname or "", parts.port or port
    except ValueError as error:
        raise Fatal(f"{flag} {text} is not HOST[:PORT]") from error
    if parts.netloc.strip("[]") != text.strip("[]") or "@" in text:
        raise Fatal(f"{flag} {text} is not HOST[:PORT]")
    return host, port


def api_names(wish: Wish) -> Names:
    """Those of the API servers' certificate. Raises Fatal."""
    try:
        first_service = str(ip_network(wish.service_cidr)[1])
    except (ValueError, IndexError) as error:
        raise Fatal(f"--service-cidr {wish.service_cidr} is not a CIDR such as 10.96.0.0/16") from error
    found = _named(
        [endpoint(wish.endpoint or wish.advertise_address, wish.port)[0]], "--control-plane-endpoint"
    )
    extra = _named(wish.extra_names, "--apiserver-cert-extra-sans")
    own = _named(_listed(wish.advertise_address), "--apiserver-advertise-address")
    if own.dns:
        raise Fatal(f"--apiserver-advertise-address {wish.advertise_address} is not an IP address")
    return Names(
        list(dict.fromkeys([*SERVER_NAMES, *found.dns, *extra.dns])),
        list(dict.fromkeys(["127.0.0.1", first_service, *found.ips, *own.ips, *extra.ips])),
    )


def etcd_names(wish: Wish) -> Names | None:
    """Those of the members' certificates; None for an etcd without TLS, which gets none. Raises Fatal."""
    hosts = []
    for url in wish.etcd_servers:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
        except ValueError:
            good = False
        if not good:
            raise Fatal(f"--etcd-servers {url} is not an address such as https://etcd-1:2379")
        hosts.append(parts.hostname or "")
    schemes = {urlsplit(url).scheme for url in wish.etcd_servers}
    if len(schemes) != 1:
        raise Fatal("--etcd-servers must name members that all speak https, or all http")
    return _named(hosts, "--etcd-servers") if schemes == {"https"} else None


def _listed(text: str) -> Sequence[str]:
    return [text] if text else []


def _named(hosts: Sequence[str], flag: str) -> Names:
    """DNS names and addresses apart. Raises Fatal, naming the flag, for what is neither."""
    dns: list[str] = []
    ips: list[str] = []
    for host in hosts:
        try:
            ips.append(str(ip_address(host)))
        except ValueError as error:
            if not _DNS_NAME.fullmatch(host) or len(host) > 253:
                raise Fatal(f"{flag}: {host!r} is neither a DNS name nor an IP address") from error
            dns.append(host)
    return Names(dns, ips)


def commands(layout: Layout, wish: Wish) -> Sequence[Command]:
    """How to start each component, in this order."""
    folder = layout.root
    return [
        *_etcd(layout, wish),
        Command("on each machine of the API server", ["kplane", "apiserver", *_apiserver(layout, wish)]),
        Command(
            "once, as soon as the API answers",
            ["kplane", "init", "phase", "bootstrap-token", f"--kubeconfig={folder / 'super-admin.conf'}"],
        ),
        Command(
            "on one machine or more; one of them leads",
            [
                "kplane", "scheduler", f"--kubeconfig={folder / 'scheduler.conf'}",
                *delegation_flags(folder / "scheduler.conf", layout.pki / "ca.crt"),
                *_serving(layout, "kube-scheduler"),
            ],
        ),
        Command(
            "likewise",
            [
                "kplane", "controller-manager", f"--kubeconfig={folder / 'controller-manager.conf'}",
                *delegation_flags(folder / "controller-manager.conf", layout.pki / "ca.crt"),
                CONTROLLERS,
                "--use-service-account-credentials=true",
                *_serving(layout, "kube-controller-manager"),
                f"--root-ca-file={layout.pki / 'ca.crt'}",
                f"--service-account-private-key-file={layout.pki / 'sa.key'}",
                f"--cluster-signing-cert-file={layout.pki / 'ca.crt'}",
                f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
            ],
        ),
        Command(
            "for `kubectl top` and autoscalers, where --metrics-server-address of the next command says",
            [
                "kplane", "metrics-server", f"--kubeconfig={folder / 'metrics-server.conf'}",
                "--metric-resolution=15s", f"--secure-port={metricsserver.PORT}",
                *_serving(layout, metricsserver.NAME),
                f"--requestheader-client-ca-file={layout.pki / 'front-proxy-ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
            ],
        ),
        Command(
            "once, with it",
            [
                "kplane", "init", "phase", "metrics-server",
                f"--kubeconfig={folder / 'super-admin.conf'}",
                f"--metrics-server-address={metricsserver.HOST}:{metricsserver.PORT}",
            ],
        ),
    ]  # fmt: skip


def _etcd(layout: Layout, wish: Wish) -> Iterator[Command]:
    """One command for each member that gets certificates."""
    urls = [urlsplit(url) for url in wish.etcd_servers if url.startswith("https:")]
    names = [url.hostname if len(urls) > 1 else "kplane" for url in urls]
    peers = [f"https://{_bracketed(url.hostname or '')}:2380" for url in urls]
    cluster = ",".join(f"{name}={peer}" for name, peer in zip(names, peers, strict=True))
    for name, url, peer in zip(names, urls, peers, strict=True):
        host = _bracketed(_listening(url.hostname or ""))
        words = [
            "etcd", f"--name={name}", "--data-dir=/var/lib/etcd",
            f"--listen-client-urls=https://{host}:{url.port or 2379}",
            f"--advertise-client-urls={url.geturl()}",
            f"--listen-peer-urls=https://{host}:2380", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}", *etcd_trust_flags(layout.pki),
        ]  # fmt: skip
        yield Command(f"on {url.hostname}", words)


def _listening(host: str) -> str:
    """etcd listens on addresses, never on names."""
    return host if _named([host], "--etcd-servers").ips else "0.0.0.0"  # noqa: S104


def _apiserver(layout: Layout, wish: Wish) -> Iterator[str]:
    yield f"--secure-port={wish.port}"
    if wish.advertise_address:
        yield f"--advertise-address={wish.advertise_address}"
    yield f"--etcd-servers={','.join(wish.etcd_servers)}"
    if wish.etcd_servers[0].startswith("https:"):
        yield from etcd_client_flags(layout.pki)
    yield f"--service-cluster-ip-range={wish.service_cidr}"
    yield from trust_flags(layout.pki)


def _serving(layout: Layout, component: str) -> Iterator[str]:
    yield f"--tls-cert-file={layout.pki / f'{component}-serving.crt'}"
    yield f"--tls-private-key-file={layout.pki / f'{component}-serving.key'}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

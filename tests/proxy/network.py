"""A node, its Pods and a client outside, as network namespaces of this test alone.

    client 192.0.2.2 --- 192.0.2.1 node 10.88.0.1 --- bridge --- pods 10.88.0.11, .12, …

The machine's own network is not touched. Sockets are opened inside a namespace by a thread that enters it,
and then used by the test's event loop like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self

CLONE_NEWNET = 0x40000000
PORT = 8080
"""Where every Pod answers."""

NODE_IP, CLIENT_IP, GATEWAY = "192.0.2.1", "192.0.2.2", "10.88.0.1"
CLUSTER_CIDR = "10.88.0.0/16"

_libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespace:
    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def run(self, *argv: str) -> str:
        done = subprocess.run(["ip", "netns", "exec", self.name, *argv], check=True, capture_output=True)
        return done.stdout.decode()

    def socket(
        self,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> socket.socket:
        """A non-blocking socket that lives in this namespace."""
        made: list[socket.socket] = []

        def enter() -> None:
            descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.socket(family, kind))
            finally:
                os.close(descriptor)

        # The thread ends afterwards, and the namespace it entered with it.
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        made[0].setblocking(False)
        return made[0]


class Network:
    def __init__(self, pods: int) -> None:
        self._stem = f"kp{os.getpid()}{uuid.uuid4().hex[:4]}"
        self.node = Namespace(f"{self._stem}-node", NODE_IP)
        self.client = Namespace(f"{self._stem}-client", CLIENT_IP)
        self.pods = [Namespace(f"{self._stem}-{n}", f"10.88.0.{11 + n}") for n in range(pods)]

    @property
    def prefix(self) -> Sequence[str]:
        """What runs a command on the node."""
        return ["ip", "netns", "exec", self.node.name]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for space in (*self.pods, self.client, self.node):
            if Path(f"/run/netns/{space.name}").exists():
                ip("netns", "del", space.name)

    def _build(self) -> None:
        for space in (self.node, self.client, *self.pods):
            ip("netns", "add", space.name)
            ip("-n", space.name, "link", "set", "lo", "up")
        node = self.node.name
        ip("-n", node, "link", "add", "br0", "type", "bridge")
        ip("-n", node, "addr", "add", f"{GATEWAY}/24", "dev", "br0")
        ip("-n", node, "link", "set", "br0", "up")
        self._join(self.client, "client", f"{CLIENT_IP}/24", NODE_IP)
        ip("-n", node, "addr", "add", f"{NODE_IP}/24", "dev", "client")
        ip("-n", node, "route", "add", "default", "via", CLIENT_IP)
        for number, pod in enumerate(self.pods):
            self._join(pod, f"pod{number}", f"{pod.address}/24", GATEWAY)
            ip("-n", node, "link", "set", f"pod{number}", "master", "br0")
            ip("-n", node, "link", "set", f"pod{number}", "type", "bridge_slave", "hairpin", "on")
        self.node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")

    def _join(self, space: Namespace, link: str, address: str, gateway: str) -> None:
        """Connect a namespace to the node; `link` is the node's end."""
        ip("link", "add", link, "netns", self.node.name, "type", "veth",
           "peer", "name", "eth0", "netns", space.name)  # fmt: skip
        ip("-n", space.name, "addr", "add", address, "dev", "eth0")
        ip("-n", space.name, "link", "set", "eth0", "up")
        ip("-n", self.node.name, "link", "set", link, "up")
        ip("-n", space.name, "route", "add", "default", "via", gateway)

    def add_ipv6(self) -> None:
        """IPv6 for the Pods, beside IPv4: fd88::11 and so on."""
        self.node.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        ip("-n", self.node.name, "addr", "add", "fd88::1/64", "dev", "br0", "nodad")
        for pod in self.pods:
            ip("-n", pod.name, "addr", "add", f"{ipv6_of(pod)}/64", "dev", "eth0", "nodad")
            ip("-n", pod.name, "route", "add", "default", "via", "fd88::1")


def ipv6_of(pod: Namespace) -> str:
    return "fd88::" + pod.address.rpartition(".")[2]


@contextlib.asynccontextmanager
async def answering(pods: Sequence[Namespace]) -> AsyncIterator[None]:
    """Every Pod tells each client the Pod's address and the client's, as the Pod sees it; over UDP only the
    Pod's."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for pod in pods:
            server = await asyncio.start_server(answer, sock=listening(pod, socket.SOCK_STREAM))
            stack.callback(server.close)
            datagrams = listening(pod, socket.SOCK_DGRAM)
            transport, _ = await loop.create_datagram_endpoint(
                partial(_Datagrams, pod.address), sock=datagrams
            )
            stack.callback(transport.close)
        yield


def listening(
    pod: Namespace, kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET
) -> socket.socket:
    listener = pod.socket(kind, family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((pod.address if family is socket.AF_INET else ipv6_of(pod), PORT))
    return listener


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._name.encode(), addr)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    here, there = writer.get_extra_info("sockname")[0], writer.get_extra_info("peername")[0]
    writer.write(f"{here} {there}".encode())
    writer.close()


async def ask(source: Namespace, address: str, port: int, timeout: float = 5) -> tuple[str, str]:
    """Who answers, and whom it takes us for. ConnectionRefusedError or TimeoutError where nobody does."""
    asking = source.socket(family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    with contextlib.closing(asking):
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            await loop.sock_connect(asking, (address, port))
            answer = await loop.sock_recv(asking, 100)
    server, _, client = answer.decode().partition(" ")
    return server, client


@contextlib.contextmanager
def network(pods: int = 3) -> Iterator[Network]:
    with Network(pods) as made:
        yield made

"""Where a node's kubelet is and how to speak to it: address and port from the Node, TLS from our flags."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kplane.api import errors
from kplane.api.errors import BadRequest, InternalError
from kplane.api.types import Node, Pod
from kplane.runtime.clienttls import FollowingTls
from kplane.runtime.late import late
from kplane.runtime.process import Fatal

from ..config import ApiServerConfig

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")

ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
CONNECT_SECONDS = 10.0

Reader = Callable[[str, str, str], Awaitable[bytes | None]]
"""(plural, namespace, name) -> the object's wire bytes, or None."""


@dataclass(frozen=True)
class Location:
    """A kubelet's server: `https://10.0.0.5:10250`."""

    url: str


class NodeConnections:
    """Finds kubelets and connects to them. Its HTTP session lives as long as the API server."""

    def __init__(self, config: ApiServerConfig, read: Reader) -> None:
        self._read = read
        files = (config.kubelet_client_certificate, config.kubelet_client_key)
        authority = config.kubelet_certificate_authority
        self._tls = FollowingTls(
            lambda: kubelet_tls(config), [file for file in (*files, authority) if file is not None]
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        """For the next connection to a kubelet."""
        return self._tls.context

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made on first use: it belongs to the event loop that serves. Requests name `tls` themselves."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False, trust_env=False
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def pod(self, namespace: str, name: str) -> Pod:
        """Raises NotFound."""
        wire = await self._read("pods", namespace, name)
        if wire is None:
            raise errors.not_found("pods", "", name)
        return msgspec.json.decode(wire, type=Pod)

    async def locate(self, node_name: str) -> Location:
        """Raises NotFound for a Node that is gone, InternalError for one without an address."""
        wire = await self._read("nodes", "", node_name)
        if wire is None:
            raise errors.not_found("nodes", "", node_name)
        node = msgspec.json.decode(wire, type=Node)
        addresses = {entry.type: entry.address for entry in node.status.addresses}
        host = next((addresses[kind] for kind in ADDRESS_TYPES if kind in addresses), None)
        if host is None:
            raise InternalError(f"no preferred addresses found; known addresses: {sorted(addresses)}")
        port = node.status.daemon_endpoints.kubelet_endpoint.port or 10250
        return Location(f"https://{f'[{host}]' if ':' in host else host}:{port}")


def kubelet_tls(config: ApiServerConfig) -> ssl.SSLContext:
    """Our certificate for kubelets; theirs are verified where an authority is given (upstream's rule)."""
    # Not `create_default_context`: it reads the authorities of the whole system, which takes 35 ms.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if config.kubelet_certificate_authority is not None:
            context.load_verify_locations(config.kubelet_certificate_authority)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.kubelet_client_certificate is not None:
            context.load_cert_chain(config.kubelet_client_certificate, config.kubelet_client_key)
    except (OSError, ssl.SSLError) as error:
        raise Fatal(f"cannot load the certificates for kubelets: {error}") from error
    return context


def choose_container(pod: Pod, asked: str) -> str:
    """The container that a request means. Raises BadRequest in upstream's words."""
    name = pod.metadata.name
    containers = [container.name for container in pod.spec.containers]
    inits = [container.name for container in pod.spec.init_containers]
    ephemeral = [container.name for container in pod.spec.ephemeral_containers]
    if asked:
        if asked not in (*containers, *inits, *ephemeral):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(containers) == 1:
        return containers[0]
    message = f"a container name must be specified for pod {name}"
    if containers:
        message += f", choose one of: [{' '.join(containers)}]"
    if inits:
        message += f" or one of the init containers: [{' '.join(inits)}]"
    if ephemeral:
        message += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise BadRequest(message)

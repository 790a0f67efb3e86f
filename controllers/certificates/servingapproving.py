"""Approving controller of serving certificates: a node may prove that it is the kubelet at its own name and
addresses. Not one of upstream's, which leaves it to people; it runs only where `--controllers` names it.

What it approves is signed by an authority that clients of the API may believe as well, so that a node must
not get the name or the address of anything else: what is refused here waits for a person.

Reads: CertificateSigningRequests, Nodes, ServiceCIDRs, the API servers' EndpointSlices and the ConfigMap
`cluster-info`, from informer caches. Writes: approval.

Invariant: only the node itself asks; each address is one that this Node, and no other, has in its status.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import yaml
from cryptography import x509

from kplane.api import bootstraptokens as tokens
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, EndpointSlice, Node
from kplane.api.types.networking import ServiceCIDR
from kplane.client.backoff import ItemBackoff
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue, Terminal

from . import kubelet
from .request import Malformed, SigningRequest, parse, with_condition
from .signing import SERVING

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MESSAGE = "Auto approving kubelet serving certificate for the node's own name and addresses."
ADDRESS_TYPES = ("InternalIP", "ExternalIP")
API_SERVERS = "kubernetes"
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 60.0
"""Seconds until a request is looked at again; a node asks before it has told its addresses."""


class Refused(Exception):
    """The request is left to a person; the message says why."""


@dataclass(frozen=True)
class Reserved:
    """What belongs to others than nodes: hosts of the API, addresses of Services."""

    hosts: frozenset[str] = frozenset()
    networks: Sequence[Network] = ()

    def name(self, name: str) -> bool:
        labels = name.lower().split(".")
        local = labels[-1] == "localhost" or labels[0] == API_SERVERS or "svc" in labels
        return local or name.lower() in self.hosts

    def address(self, address: Address) -> bool:
        special = (
            address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
        )
        return special or str(address) in self.hosts or any(address in network for network in self.networks)


def check(
    request: SigningRequest, asked: x509.CertificateSigningRequest, nodes: Sequence[Node], reserved: Reserved
) -> None:
    """That the node asks for itself, and for nothing that is not its own. Raises Refused."""
    try:
        kubelet.check_serving(asked, request.spec.usages)
    except kubelet.Refused as error:
        raise Refused(str(error)) from error
    if request.spec.username != kubelet.common_name(asked):
        raise Refused("it was not made by the node that it names")
    name = request.spec.username.removeprefix(kubelet.NODE_PREFIX)
    [*own] = [node for node in nodes if node.metadata.name == name]
    if not own:
        raise Refused("there is no such Node")
    names, addresses = alternatives(asked)
    if foreign := [text for text in names if text != name or reserved.name(text)]:
        raise Refused(f"the name {foreign[0]} is not the node's")
    theirs = {address for node in nodes if node.metadata.name != name for address in stated(node)}
    for address in addresses:
        if address not in stated(own[0]) or address in theirs or reserved.address(address):
            raise Refused(f"the address {address} is not the node's alone")


def alternatives(asked: x509.CertificateSigningRequest) -> tuple[list[str], list[Address]]:
    """DNS names and addresses that a request is for. Raises Refused."""
    found = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses: list[Address] = []
    for value in found.get_values_for_type(x509.IPAddress):
        if not isinstance(value, IPv4Address | IPv6Address):
            raise Refused(f"{value} is not one address")
        addresses.append(value)
    names = found.get_values_for_type(x509.DNSName)
    if len(names) + len(addresses) != len(list(found)):
        raise Refused("it is for something that is neither a name nor an address")
    return names, addresses


def stated(node: Node) -> set[Address]:
    """The addresses in a Node's status, as far as they are any."""
    texts = (entry.address for entry in node.status.addresses if entry.type in ADDRESS_TYPES)
    return {address for text in texts if (address := _address(text)) is not None}


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class KubeletServingApprover:
    name = "kubelet-serving-approving-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._backoff = ItemBackoff(FIRST_BACKOFF, LONGEST_BACKOFF)
        self._requests = ctx.informer(SigningRequest)
        self._nodes = ctx.informer(Node)
        self._ranges = ctx.informer(ServiceCIDR)
        self._slices = ctx.informer(EndpointSlice)
        self._maps = ctx.informer(ConfigMap, field_selector=f"metadata.name={tokens.CLUSTER_INFO}")
        self._requests.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Approve the request if it is the node's own. Safe to repeat at any time."""
        request = self._requests.get(key)
        if request is None or request.spec.signer_name != SERVING or request.decided:
            self._backoff.forget(key)
            return None
        try:
            check(request, parse(request), self._nodes.list(), self._reserved())
        except Malformed as error:
            raise Terminal(f"unable to parse csr {key.name!r}: {error}") from error
        except Refused as refused:
            log.info("left to a person request=%s reason=%s", key.name, refused)
            return Requeue(self._backoff.delay(key))
        patch = with_condition(request, "Approved", "AutoApproved", MESSAGE)
        await self._client.patch(SigningRequest, key.name, "", patch, subresource="approval")
        log.info("approved request=%s user=%s", key.name, request.spec.username)
        return None

    def _reserved(self) -> Reserved:
        ranges = [ip_network(text) for found in self._ranges.list() for text in found.spec.cidrs]
        return Reserved(frozenset(self._hosts()), ranges)

    def _hosts(self) -> Iterator[str]:
        """Where the API is reached."""
        for part in self._slices.list():
            meta = part.metadata
            if meta.namespace == "default" and meta.labels.get("kubernetes.io/service-name") == API_SERVERS:
                for endpoint in part.endpoints or ():
                    yield from endpoint.addresses
        info = self._maps.get(Key(tokens.CLUSTER_INFO_NAMESPACE, tokens.CLUSTER_INFO))
        if info is not None:
            yield from servers(info.data.get(tokens.KUBECONFIG_KEY, ""))


def servers(text: str) -> Iterator[str]:
    """The hosts of a kubeconfig's clusters, in lower case; none of what is no kubeconfig."""
    try:
        config = yaml.safe_load(text)
        urls = [str(entry["cluster"]["server"]) for entry in config["clusters"]]
        yield from [host for url in urls if (host := urlsplit(url).hostname)]
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        log.warning("cluster-info cannot be read error=%s", type(error).__name__)

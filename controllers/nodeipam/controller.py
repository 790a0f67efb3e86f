"""Node IPAM controller: `spec.podCIDR` and `spec.podCIDRs` of every Node, out of `--cluster-cidr`.

Reads: Nodes, from an informer cache. Writes: those two fields, once for each Node. Runs only with
`--allocate-node-cidrs`. Elsewhere: routes between nodes (whoever connects them).

Invariant: all ranges that Nodes have are known before the first one is given out: none is given twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key
from kplane.api.types import Node
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..config import Config
from ..status import guarded
from .ranges import Exhausted, Network, Ranges, parse

log = logging.getLogger(__name__)

_SERVICES = "the range of Services"
MASK_SIZES = {4: 24, 6: 64}


def mask_size(options: Config, version: int) -> int:
    """Bits of a node's range."""
    sizes = {4: options.node_cidr_mask_size_ipv4, 6: options.node_cidr_mask_size_ipv6}
    return sizes[version] or options.node_cidr_mask_size or MASK_SIZES[version]


def make_ranges(options: Config) -> list[Ranges]:
    """One for each family that the cluster has, without the addresses of Services. Raises BadNetwork."""
    made = [Ranges(network, mask_size(options, network.version)) for network in options.cluster_cidrs]
    for network in options.service_cidrs:
        for ranges in made:
            ranges.occupy(network, _SERVICES)
    return made


class NodeIpamController:
    name = "node-ipam-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._ranges = make_ranges(ctx.options or Config())
        self._assigned: dict[str, Sequence[Network]] = {}
        """Node -> what it has or is just given."""
        self._nodes = ctx.informer(Node)
        self._nodes.on_change(self._node_changed)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._give_back(old.metadata.name)
            self._wake_waiting()
        elif new.spec.pod_cidrs:
            self._note(new)
        else:
            self._queue.add(new.key)

    def _note(self, node: Node) -> None:
        """What a Node has already is taken."""
        name = node.metadata.name
        have = [network for text in node.spec.pod_cidrs if (network := parse(text))]
        if self._assigned.get(name) == have:
            return
        self._give_back(name)
        for network in have:
            if not all(ranges.occupy(network, name) for ranges in self._ranges):
                log.error("range of two nodes key=%s range=%s", name, network)
        self._assigned[name] = have

    def _give_back(self, name: str) -> None:
        for network in self._assigned.pop(name, ()):
            for ranges in self._ranges:
                ranges.release(network, name)

    def _wake_waiting(self) -> None:
        for node in self._nodes.list():
            if not node.spec.pod_cidrs:
                self._queue.add(node.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        node = self._nodes.get(key)
        if node is None or node.spec.pod_cidrs or not self._ranges:
            return None
        try:
            networks = self._assigned.get(key.name) or self._take(key.name)
        except Exhausted as error:
            log.error("no range left key=%s why=%s", key, error)
            self._tell(node, "CIDRNotAvailable")
            return None  # A Node that goes wakes those that wait.
        self._assigned[key.name] = networks
        await self._write(node, networks)
        return None

    def _take(self, name: str) -> Sequence[Network]:
        """A range of each family, or none at all."""
        taken: list[Network] = []
        try:
            for ranges in self._ranges:
                taken.append(ranges.take(name))
        except Exhausted:
            for ranges in self._ranges:
                for network in taken:
                    ranges.release(network, name)
            raise
        return taken

    async def _write(self, node: Node, networks: Sequence[Network]) -> None:
        texts = [str(network) for network in networks]
        body = guarded(node.metadata, {"spec": {"podCIDR": texts[0], "podCIDRs": texts}})
        try:
            await self._client.patch(Node, node.metadata.name, "", body)
        except NotFound:
            return  # Its end gives back what it had.
        except Conflict:
            raise  # Statuses of Nodes are written all the time: this tells nobody anything.
        except ApiError:
            # Whether it was written is not known: the range stays the Node's, and the next try says the same.
            self._tell(node, "CIDRAssignmentFailed")
            raise
        log.info("assigned key=%s ranges=%s", node.key, texts)

    def _tell(self, node: Node, what: str) -> None:
        self._events.event(node, "Normal", what, f"Node {node.metadata.name} status is now: {what}")

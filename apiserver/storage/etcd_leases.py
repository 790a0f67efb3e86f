"""Leases of keys that expire, shared: Events come by the thousand and a lease is a write to etcd's disk.

A lease is granted for a little longer than asked and used again for keys with the same ttl, while it lasts
long enough for them (upstream's lease manager and its figures).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc

from kplane.api.clock import Clock

from .etcd_connection import Connection, rpc_pb2

REUSE_SECONDS = 60.0
REUSE_SHARE = 0.05
"""A lease outlasts what was asked for by this share of it, at most REUSE_SECONDS."""
KEYS = 1000
"""Keys on one lease at most: etcd deletes them in one transaction."""


@dataclass(slots=True)
class Lease:
    id: int
    usable_until: float
    """On the monotonic clock."""
    keys: int = 0


class Leases:
    """The newest lease for each ttl."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._newest: dict[int, Lease] = {}
        self._granting = asyncio.Lock()

    async def lease(self, ttl: int) -> int:
        """The id of a lease that ends in `ttl` seconds or a little later. Raises StoreError."""
        # One at a time, so that a burst shares the lease that its first key is granted.
        async with self._granting:
            lease = self._newest.get(ttl)
            if lease is None or lease.keys >= KEYS or self._clock.monotonic() > lease.usable_until:
                lease = self._newest[ttl] = await self._grant(ttl)
            lease.keys += 1
            return lease.id

    async def _grant(self, ttl: int) -> Lease:
        extra = min(REUSE_SECONDS, ttl * REUSE_SHARE)
        usable_until = self._clock.monotonic() + extra
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl + int(extra))
        try:
            # Repeated at worst it leaves an empty lease, which ends by itself.
            response = await self._connection.call(lambda peer: peer.lease.LeaseGrant, request, repeat=True)
        except grpc.aio.AioRpcError as error:
            raise self._connection.failure(error) from error
        return Lease(response.ID, usable_until)

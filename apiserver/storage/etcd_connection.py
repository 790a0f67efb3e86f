"""Connections to the members of an etcd cluster: TLS, fail-over, deadlines, and errors as StoreError.

One member is used at a time, the next one when it fails. What may be repeated is repeated until the deadline,
so that readers do not notice a restart; a write is only repeated if it was certainly never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from etcd3aio import _protobuf as stubs
from etcd3aio._protobuf import kv_pb2, rpc_pb2  # type: ignore[attr-defined]  # it names them, untyped

from kplane.api.clock import Clock
from kplane.runtime.clienttls import stamp

from .store import StoreError

__all__ = ["Connection", "EtcdConfig", "kv_pb2", "rpc_pb2"]

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
OPEN_SECONDS = 5.0
PAUSE_SECONDS = 0.1

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Each store its own connection: a process-wide pool would outlive `close`.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]

NEVER_SENT = "failed to connect to all addresses"
"""How gRPC says that there was no connection to send a request on."""


@dataclass(frozen=True)
class EtcdConfig:
    """`--etcd-servers`, `--etcd-cafile`, `--etcd-certfile`, `--etcd-keyfile`."""

    servers: Sequence[str]
    """URLs, `https://10.0.0.1:2379`; without a scheme, http."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def files(self) -> Sequence[Path]:
        return [file for file in (self.ca_file, self.cert_file, self.key_file) if file is not None]


class Peer:
    """One member: its channel and stubs."""

    def __init__(self, url: str, credentials: grpc.ChannelCredentials | None) -> None:
        scheme, _, address = url.rpartition("://")
        address = address.rstrip("/")
        self.channel = (
            grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
            if scheme == "https"
            else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        )
        self.kv = stubs.KVStub(self.channel)
        self.lease = stubs.LeaseStub(self.channel)
        self.watch = stubs.WatchStub(self.channel)
        self.maintenance = stubs.MaintenanceStub(self.channel)


class Connection:
    """The cluster, through whichever member answers."""

    def __init__(self, config: EtcdConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._peers: list[Peer] = []
        self._at = 0
        self._stamp = stamp(config.files)
        self.version: tuple[int, ...] = ()

    @property
    def peer(self) -> Peer:
        """The member in use. Raises StoreError once closed."""
        if not self._peers:
            raise StoreError("the store is closed")
        return self._peers[self._at]

    async def open(self) -> None:
        """Raises StoreError if no member answers."""
        credentials = self._credentials()
        self._peers = [Peer(url, credentials) for url in self._config.servers]
        try:
            status = await self.call(
                lambda peer: peer.maintenance.Status,
                rpc_pb2.StatusRequest(),
                repeat=True,
                seconds=OPEN_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            await self.close()
            servers = ",".join(self._config.servers)
            raise StoreError(
                f"cannot reach etcd at {servers}: {error.details()}; check --etcd-servers and that it runs"
            ) from error
        self.version = tuple(int(part) for part in status.version.split("-")[0].split("."))

    async def close(self) -> None:
        peers, self._peers = self._peers, []
        for peer in peers:
            await peer.channel.close()

    async def call(
        self,
        method: Callable[[Peer], Callable[..., Awaitable[Any]]],
        request: Any,
        *,
        repeat: bool,
        seconds: float = CALL_SECONDS,
    ) -> Any:
        """One request and its answer. With `repeat`, again at the next member while members are away;
        without, only if it was never sent. Raises AioRpcError."""
        deadline = self._clock.monotonic() + seconds
        while True:
            peer = self.peer
            left = deadline - self._clock.monotonic()
            try:
                return await method(peer)(request, timeout=max(left, 0.1))
            except grpc.aio.AioRpcError as error:
                again = error.code() is grpc.StatusCode.UNAVAILABLE and (
                    repeat or NEVER_SENT in (error.details() or "")
                )
                if not again or left < PAUSE_SECONDS:
                    raise
                if peer is self.peer:
                    await self.fail_over()

    async def fail_over(self) -> None:
        """Go on with the next member, after a pause once all of them have had their turn. Where our
        certificate was renewed, with it: the former one may be why the member is away."""
        await self._follow_files()
        self._at = (self._at + 1) % len(self._peers)
        if self._at == 0:
            await self._clock.sleep(PAUSE_SECONDS)

    async def _follow_files(self) -> None:
        found = stamp(self._config.files)
        if found is None or found == self._stamp or not self._peers:
            return
        try:
            credentials = self._credentials()
        except StoreError as error:
            log.warning("%s; the former one stays in use", error)
            return
        former, self._stamp = self._peers, found
        self._peers = [Peer(url, credentials) for url in self._config.servers]
        log.info("loaded a changed client certificate for etcd")
        for peer in former:
            await peer.channel.close()

    def failure(self, error: grpc.aio.AioRpcError) -> StoreError:
        """What the caller of the store gets to see."""
        return StoreError(f"etcd: {error.code().name}: {error.details()}")

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if not any(url.startswith("https://") for url in self._config.servers):
            return None
        try:
            return grpc.ssl_channel_credentials(
                _read(self._config.ca_file), _read(self._config.key_file), _read(self._config.cert_file)
            )
        except OSError as error:
            raise StoreError(f"cannot read etcd's TLS file {error.filename}: {error.strerror}") from error


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None

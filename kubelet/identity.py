"""Which certificates the flags let a kubelet ask for, and where it keeps them."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from pathlib import Path

from kplane.api.clock import Clock, Entropy
from kplane.client.rest import Client

from .bootstrap import Bootstrap, bootstrap
from .certificates import CLIENT_SIGNER, SERVING_SIGNER, Rotation, Store, Wanted, self_signed
from .config import KubeletConfig


class NodeIdentity:
    """Of the process: with several hollow nodes, the first one's."""

    def __init__(self, flags: argparse.Namespace) -> None:
        folder: Path = flags.cert_dir or flags.root_dir / "pki"
        self._flags = flags
        self._client = Store(folder, "kubelet-client")
        self._server = Store(folder, "kubelet-server")

    async def bootstrap(self, clock: Clock, entropy: Entropy) -> None:
        """See to it that there is a kubeconfig, where the flags say how to get one. Raises Fatal."""
        flags = self._flags
        if flags.bootstrap_kubeconfig is None or flags.kubeconfig is None:
            return
        node = flags.hostname_override or socket.gethostname().lower()
        what = Bootstrap(flags.bootstrap_kubeconfig, flags.kubeconfig, node, self._client)
        await bootstrap(what, clock, entropy)

    def serving_files(self, config: KubeletConfig, clock: Clock) -> tuple[Path, Path]:
        """Certificate and key of the node server. Without flags for them, what is there is one that nobody
        has vouched for, until the API has issued another."""
        if self._flags.tls_cert_file is not None:
            return self._flags.tls_cert_file, self._flags.tls_private_key_file
        found = self._server.certificate()
        if found is None or found.not_valid_after_utc <= clock.now():
            made = self_signed([config.node_name], config.node_ips, clock.now())
            self._server.save(made, clock.now())
        return self._server.current, self._server.current

    def rotations(
        self, config: KubeletConfig, client: Client, clock: Clock, entropy: Entropy
    ) -> Iterator[Rotation]:
        """What has to run beside the node."""
        node, flags = config.node_name, self._flags
        if flags.rotate_certificates and self._client.certificate() is not None:
            yield Rotation(client, Wanted(node, CLIENT_SIGNER), self._client, clock, entropy)
        if flags.rotate_server_certificates and flags.tls_cert_file is None:
            wanted = Wanted(node, SERVING_SIGNER, [node], config.node_ips)
            yield Rotation(client, wanted, self._server, clock, entropy)

"""Which store the settings name: etcd, a file, or memory."""

from __future__ import annotations

from kplane.api.clock import Clock
from kplane.runtime.process import Fatal

from ..config import IN_MEMORY, ApiServerConfig
from .sqlite import SQLiteStore
from .store import Store


def open_store(config: ApiServerConfig, clock: Clock) -> Store:
    """The store that the settings name; it is opened later. Raises Fatal for a folder that cannot be made."""
    if config.storage_dir is None:
        if config.etcd_prefix != "/registry":
            raise Fatal("--etcd-prefix cannot be changed from /registry yet: leave it out")
        # Whoever stores in a file does not wait for gRPC and protobuf to be imported.
        from .etcd import EtcdStore
        from .etcd_connection import EtcdConfig

        files = (config.etcd_cafile, config.etcd_certfile, config.etcd_keyfile)
        return EtcdStore(EtcdConfig(config.etcd_servers, *files), clock)
    if config.storage_dir == IN_MEMORY:
        return SQLiteStore(None, clock)
    try:
        config.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Fatal(f"cannot make the storage folder {config.storage_dir}: {error.strerror}") from error
    return SQLiteStore(config.storage_dir / "store.db", clock)

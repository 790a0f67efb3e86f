"""Which server and which namespace a verb speaks to, and how a verb is run.

Reads: `--kubeconfig`, else the cluster in `--data-dir`, else `$KUBECONFIG`, else the cluster that `kplane up`
runs by default, else what kubectl would take.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kplane.api.errors import ApiError
from kplane.client import kubeconfig
from kplane.client.kubeconfig import ConfigError, Credentials
from kplane.client.rest import Client, connect

from ..layout import Layout, default_root
from .discovery import Kind
from .failures import CommandError, report

INTERRUPTED = 130


@dataclass(frozen=True)
class Where:
    """What the flags say of server and namespace; None where they say nothing."""

    kubeconfig: Path | None = None
    data_dir: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Session:
    """A verb's connection. `namespace_given` if the command line named the namespace."""

    client: Client
    namespace: str
    credentials: Credentials
    namespace_given: bool = False

    def namespace_of(self, kind: Kind, *, all_namespaces: bool = False) -> str:
        """Where objects of a kind are looked for; empty: everywhere, or nowhere in particular."""
        return self.namespace if kind.resource.namespaced and not all_namespaces else ""


def credentials(where: Where) -> Credentials:
    """Raises ConfigError."""
    return kubeconfig.load(_kubeconfig(where), where.context)


def _kubeconfig(where: Where) -> Path | None:
    if where.kubeconfig is not None:
        return where.kubeconfig
    if where.data_dir is not None:
        return Layout(where.data_dir.resolve()).administrator
    ours = Layout(default_root()).administrator
    return None if os.environ.get("KUBECONFIG") or not os.access(ours, os.R_OK) else ours


def run(where: Where, verb: Callable[[Session], Awaitable[int]]) -> int:
    """Run a verb to its end; its exit status."""
    try:
        status = asyncio.run(_connected(where, verb))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has enough; at exit Python must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ConfigError, ApiError) as error:
        return report(error)
    return status


async def _connected(where: Where, verb: Callable[[Session], Awaitable[int]]) -> int:
    found = credentials(where)
    client = connect(found, user_agent="kplane")
    try:
        namespace = where.namespace or found.namespace
        return await verb(Session(client, namespace, found, namespace_given=where.namespace is not None))
    finally:
        await client.close()

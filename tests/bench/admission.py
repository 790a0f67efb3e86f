"""What admission of a plain Pod costs: the whole default chain with its metrics, and each of its plug-ins.

    python -m tests.bench.admission

Microseconds, the best of ROUNDS runs, on one core. No quota, no limits and no webhook is configured; the
namespace enforces the baseline of pod security.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kplane.api.scheme import builtin
from kplane.apiserver.admission.chain import Attributes, Chain, Operation
from kplane.apiserver.auth.user import authenticated
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport

ROUNDS = 5
PODS = 2000
LABELS = {"pod-security.kubernetes.io/enforce": "baseline"}
NAMESPACE = {"metadata": {"name": "bench", "labels": LABELS}}


def pod() -> dict[str, Any]:
    container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "bench", "labels": {"app": "web"}},
        "spec": {"containers": [container]},
    }


def attributes(obj: dict[str, Any]) -> Attributes:
    return Attributes(
        operation=Operation.CREATE,
        info=builtin().rows["", "v1", "pods"],
        subresource="",
        namespace="bench",
        name="web",
        object=obj,
        old=None,
        user=authenticated("admin"),
        dry_run=False,
        warn=lambda text: None,
    )


async def cost(chain: Chain) -> float:
    """Microseconds for a pod to pass it."""
    best = float("inf")
    for _ in range(ROUNDS):
        requests = [attributes(copy.deepcopy(pod())) for _ in range(PODS)]
        start = time.perf_counter()
        for request in requests:
            await chain.admit(request)
            await chain.validate(request)
        best = min(best, time.perf_counter() - start)
    return best / PODS * 1e6


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.csv"
        tokens.write_text('secret,admin,1,"system:masters"\n')
        config = ApiServerConfig(
            storage_dir=Path(folder) / "data", bind_address="127.0.0.1", token_auth_file=tokens
        )
        async with ApiServer(config) as server:
            transport = AsgiTransport(server.app, token="secret")
            body = str(NAMESPACE).replace("'", '"').encode()
            headers = {"content-type": "application/json"}
            await transport.request("POST", "/api/v1/namespaces", query={}, headers=headers, body=body)
            accounts, account = "/api/v1/namespaces/bench/serviceaccounts", b'{"metadata":{"name":"default"}}'
            await transport.request("POST", accounts, query={}, headers=headers, body=account)
            print(f"admission_chain_pod_us {await cost(server.admission):.1f}")
            for plugin in server.admission.plugins:
                print(f"admission_{plugin.name}_us {await cost(Chain([plugin])):.1f}")


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

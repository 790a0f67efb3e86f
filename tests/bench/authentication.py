"""What it costs to find out who asks: a client certificate, a service account token, a static token.

    python -m tests.bench.authentication

Microseconds for one request, the best of ROUNDS runs, on one core, in a whole server's chain: for tokens,
those authenticators that come first have looked as well. `and_rbac`: with RBAC's decision about the request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.authorizer import Attributes
from kplane.apiserver.auth.identity import Credentials
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki

ROUNDS = 7
CALLS = 2000
TOKEN = "/api/v1/namespaces/default/serviceaccounts/robot/token"


async def cost(call: Callable[[], Awaitable[object]]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            await call()
        best = min(best, time.perf_counter() - begun)
    return best / CALLS * 1e6


async def created(server: ApiServer, path: str, body: object) -> bytes:
    transport = AsgiTransport(server.app, token="secret")
    headers = {"content-type": "application/json"}
    answer = await transport.request("POST", path, query={}, headers=headers, body=json.dumps(body).encode())
    assert answer.status == 201, answer.body
    return answer.body


def settings(folder: Path) -> ApiServerConfig:
    pki.ensure(folder, server_names=["localhost"], server_ips=["127.0.0.1"])
    tokens = folder / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=folder / "sa.key")
    return ApiServerConfig(
        storage_dir=folder / "data",
        bind_address="127.0.0.1",
        token_auth_file=tokens,
        client_ca_file=folder / "ca.crt",
        requestheader_client_ca_file=folder / "front-proxy-ca.crt",
        requestheader_username_headers=("X-Remote-User",),
        authentication=AuthenticationSettings(service_accounts=accounts),
        authorization=AuthorizationSettings(modes=("RBAC",)),
    )


def bearer(token: str) -> Credentials:
    return Credentials(None, [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())])


async def run() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with ApiServer(settings(folder)) as server:
            path, _, _ = TOKEN.rpartition("/robot")
            await created(server, path, {"metadata": {"name": "robot"}})
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            token = json.loads(await created(server, TOKEN, review))["status"]["token"]
            pem = (folder / "admin.crt").read_bytes()
            certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
            kinds = {
                "x509": Credentials(certificate, [(b"host", b"localhost")]),
                "service_account_token": bearer(token),
                "static_token": bearer("secret"),
            }
            chain = server.authentication.authenticator
            for kind, credentials in kinds.items():
                user = await chain.authenticate(credentials)
                attributes = Attributes(user, "get", version="v1", resource="pods", namespace="default")
                proof = await cost(lambda credentials=credentials: chain.authenticate(credentials))  # type: ignore[misc]
                rights = await cost(
                    lambda attributes=attributes: server.authorizer.authorize(attributes)  # type: ignore[misc]
                )
                print(f"authenticate_{kind}_us {proof:.1f}", flush=True)
                print(f"authenticate_{kind}_and_rbac_us {proof + rights:.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

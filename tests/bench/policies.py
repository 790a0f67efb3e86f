"""What admission policies cost a request for a Pod of 2 KB: when none is about it, and when ten are.

    python -m tests.bench.policies

Microseconds of both plug-ins together, the best of ROUNDS runs, on one core.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from kplane.api.patches.copying import duplicate
from kplane.api.scheme import builtin
from kplane.apiserver.admission.chain import Attributes, Chain, Operation
from kplane.apiserver.auth.user import authenticated
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport

from .values import pod

ROUNDS, REQUESTS = 7, 1000
GROUP = "/apis/admissionregistration.k8s.io/v1"
EXPRESSIONS = (
    "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
    "object.metadata.name.size() <= 63",
    "!has(object.spec.hostNetwork) || !object.spec.hostNetwork",
    "variables.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged))",
    "request.operation != 'DELETE' || request.userInfo.username != 'nobody'",
)
NAMES = frozenset({"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"})


class Bench:
    def __init__(self, server: ApiServer) -> None:
        self._transport = AsgiTransport(server.app, token="secret")
        self._chain = Chain([one for one in server.admission.plugins if one.name in NAMES])
        self._pod = pod() | {"kind": "Pod", "apiVersion": "v1"}

    async def make(self, plural: str, name: str, spec: dict[str, Any]) -> None:
        body = msgspec.json.encode({"metadata": {"name": name}, "spec": spec})
        headers = {"content-type": "application/json"}
        path = f"{GROUP}/{plural}"
        answer = await self._transport.request("POST", path, query={}, headers=headers, body=body)
        assert answer.status == 201, answer.body
        await self._transport.request("GET", f"{path}/{name}", query={}, headers={}, body=b"")

    async def validating(self, name: str, resources: str, expression: str) -> None:
        rule = {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": [resources],
        }
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "variables": [{"name": "containers", "expression": "object.spec.containers"}],
            "validations": [{"expression": expression}],
        }
        await self.make("validatingadmissionpolicies", name, spec)
        binding = {"policyName": name, "validationActions": ["Deny"]}
        await self.make("validatingadmissionpolicybindings", name, binding)

    async def mutating(self, name: str) -> None:
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        expression = "Object{metadata: Object.metadata{labels: {'policy': 'seen'}}}"
        mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "mutations": [mutation],
            "reinvocationPolicy": "Never",
        }
        await self.make("mutatingadmissionpolicies", name, spec)
        await self.make("mutatingadmissionpolicybindings", name, {"policyName": name})

    def _attributes(self) -> Attributes:
        return Attributes(
            operation=Operation.CREATE,
            info=builtin().rows["", "v1", "pods"],
            subresource="",
            namespace="default",
            name="web",
            object=duplicate(self._pod),
            old=None,
            user=authenticated("admin"),
            dry_run=False,
            warn=lambda text: None,
        )

    async def cost(self) -> float:
        """Microseconds for a Pod to pass."""
        best = float("inf")
        for _ in range(ROUNDS):
            requests = [self._attributes() for _ in range(REQUESTS)]
            start = time.perf_counter()
            for request in requests:
                await self._chain.admit(request)
                await self._chain.validate(request)
            best = min(best, time.perf_counter() - start)
        return best / REQUESTS * 1e6


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.csv"
        tokens.write_text('secret,admin,1,"system:masters"\n')
        config = ApiServerConfig(
            storage_dir=Path(folder) / "data", bind_address="127.0.0.1", token_auth_file=tokens
        )
        async with ApiServer(config) as server:
            bench = Bench(server)
            print(f"policies_none_us {await bench.cost():.1f}")
            for index in range(100):
                await bench.validating(f"other-{index}", "services", "true")
            print(f"policies_100_of_which_none_matches_us {await bench.cost():.1f}")
            for index in range(10):
                await bench.validating(f"pods-{index}", "pods", EXPRESSIONS[index % len(EXPRESSIONS)])
            print(f"policies_10_validating_match_us {await bench.cost():.1f}")
            await bench.mutating("label")
            print(f"policies_and_1_mutating_us {await bench.cost():.1f}")


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

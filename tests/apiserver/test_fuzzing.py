"""Requests made up from our own OpenAPI documents: whatever they ask, no answer is a 5xx."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime.serving import Serving, ServingConfig

pytestmark = pytest.mark.slow

TOKEN = "fuzzing"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES = 4
"""Requests to one operation. There are some 900 operations."""

CORE = "api/v1"
GROUPS = (
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps",
    "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
    "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io",
    "scheduling.k8s.io", "storage.k8s.io",
)  # fmt: skip
STREAMS = ("/exec", "/attach", "/portforward", "/proxy", "/proxy/{path}", "/log")
PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
BODIES = ("application/json", "application/yaml")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on an event loop of its own: schemathesis calls from outside of any."""
    folder = tmp_path_factory.mktemp("server")
    ready, ports = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        listen = ServingConfig(address="127.0.0.1", port=0)
        async with ApiServer(server_config(folder)) as server, Serving(server.app, listen) as serving:
            ports.append(serving.port)
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()


def server_config(folder: Path) -> ApiServerConfig:
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
    return ApiServerConfig(
        storage_dir=folder / "data",
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )


@pytest.mark.parametrize("document", [CORE, *(f"apis/{group}/v1" for group in GROUPS)])
def test_no_request_fails_the_server(url: str, document: str) -> None:
    described = schemathesis.openapi.from_url(f"{url}/openapi/v3/{document}", headers=HEADERS)
    operations = [found.ok() for found in described.get_all_operations()]

    failed: list[str] = []
    for operation in operations:
        # Their answers do not end by themselves, or are somebody else's.
        if "/watch/" not in operation.path and not operation.path.endswith(STREAMS):
            failed += failures(operation)

    assert operations
    assert failed == []


def failures(operation: Any) -> list[str]:
    """The requests that the server answered with a 5xx, or with an error that is no Status."""
    failed = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        aim(case)
        answer = case.call(headers=HEADERS, timeout=30)
        is_status = answer.status_code < 400 or b'"kind":"Status"' in answer.content.replace(b" ", b"")
        if answer.status_code >= 500 or not is_status:
            failed.append(f"{answer.status_code} {case.as_curl_command()[:2000]} {answer.text[:300]}")

    send()
    return failed


def aim(case: Any) -> None:
    """Past what is refused at the door: an existing namespace, a legal name, a body that can be read."""
    case.query = {
        name: value for name, value in (case.query or {}).items() if name not in ("watch", "pretty")
    }
    if "namespace" in case.path_parameters:
        case.path_parameters["namespace"] = "default"
    name = "fuzzed"
    if "name" in case.path_parameters:
        case.path_parameters["name"] = name
    if case.media_type not in PATCHES:
        case.media_type = BODIES[len(case.query) % 2]
    if isinstance(case.body, dict):
        case.body["metadata"] = {**metadata_of(case.body), "name": name, "namespace": "default"}
        case.body.pop("apiVersion", None)
        case.body.pop("kind", None)


def metadata_of(body: dict[str, Any]) -> dict[str, Any]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}

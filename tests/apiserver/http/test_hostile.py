"""Bodies made to cost the server far more than their sender: each is refused, soon, with a Status."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from string import ascii_lowercase

import pytest

from kplane.api.decode_error import MAX_CONTAINERS
from kplane.api.errors import MAX_FAULTS

from ..conftest import Api, configmap

PODS, CONFIGMAPS = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/configmaps"
SETTINGS = f"{CONFIGMAPS}/settings"
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
DEEP = 200_000
SECONDS = 20
"""Far more than any of them takes; one that is not bounded takes minutes."""


def pod_with(part: bytes) -> bytes:
    return b'{"metadata":{"name":"x"},"spec":{"containers":[%s]}}' % part


def nested(count: int) -> bytes:
    return b'{"apiVersion":"v1","kind":"ConfigMap","data":%s1%s}' % (b'{"a":' * count, b"}" * count)


def bomb() -> bytes:
    """Each anchor is eight times the one before."""
    lines = [f"{new}: &{new} [{','.join([f'*{old}'] * 8)}]" for old, new in pairwise(ascii_lowercase)]
    return "\n".join(["a: &a [x, x, x, x]", *lines]).encode()


def copies(count: int) -> bytes:
    """Each copy doubles the object."""
    paths = [f"/data/k{index}" for index in range(count)]
    return json.dumps([{"op": "copy", "from": "/data", "path": path} for path in paths]).encode()


def field(number: int, content: bytes) -> bytes:
    size, length = b"", len(content)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def protobuf_of_empty_containers(count: int) -> bytes:
    raw = field(1, field(1, b"x")) + field(2, field(2, b"") * count)
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"Pod")) + field(2, raw)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "code", "why"),
    [
        pytest.param("POST", PODS, pod_with(b",".join([b"{}"] * 900_000)), JSON, 400, "holds", id="wide"),
        pytest.param("POST", CONFIGMAPS, nested(DEEP), JSON, 400, "exceeded max depth", id="deep-json"),
        pytest.param("POST", CONFIGMAPS, b"[" * 1_000_000, JSON, 400, "exceeded max depth", id="deep-array"),
        pytest.param("POST", CONFIGMAPS, b"[" * DEEP, YAML, 400, "exceeded max depth", id="deep-yaml"),
        pytest.param("POST", CONFIGMAPS, b"- " * DEEP, YAML, 400, "exceeded max depth", id="deep-yaml-list"),
        pytest.param("POST", CONFIGMAPS, b"? " * DEEP, YAML, 400, "exceeded max depth", id="deep-yaml-key"),
        pytest.param("POST", CONFIGMAPS, b"{" * DEEP, YAML, 400, "exceeded max depth", id="deep-yaml-flow"),
        pytest.param("POST", CONFIGMAPS, bomb(), YAML, 400, "holds more than", id="yaml-bomb"),
        pytest.param(
            "POST", CONFIGMAPS, b"metadata: &a\n  labels: *a\n", YAML, 400, "contains itself", id="yaml-cycle"
        ),
        pytest.param(
            "POST", CONFIGMAPS, b"!!python/object/apply:os.getpid []", YAML, 400, "cannot unmarshal", id="tag"
        ),
        pytest.param(
            "POST", PODS, protobuf_of_empty_containers(1_400_000), PROTOBUF, 400, "holds more", id="protobuf"
        ),
        pytest.param("PATCH", SETTINGS, copies(60), JSON_PATCH, 422, "rejected our request", id="copies"),
        pytest.param(
            "PATCH", SETTINGS, b'[{"op":"test","path":"/%s","value":1}]' % (b"a/" * DEEP), JSON_PATCH, 422,
            "rejected our request", id="long-pointer",
        ),
        pytest.param("PATCH", SETTINGS, nested(DEEP), MERGE_PATCH, 400, "exceeded max depth", id="merge"),
        pytest.param("PATCH", SETTINGS, nested(DEEP), STRATEGIC_PATCH, 400, "exceeded max", id="strategic"),
        pytest.param("PATCH", SETTINGS, nested(DEEP), APPLY, 400, "exceeded max depth", id="apply"),
        pytest.param("PATCH", SETTINGS, b"- " * DEEP, APPLY, 400, "exceeded max depth", id="apply-yaml"),
    ],
)  # fmt: skip
async def test_expensive_bodies_are_refused_soon(
    api: Api, method: str, path: str, body: bytes, content_type: str, code: int, why: str
) -> None:
    await api.make(CONFIGMAPS, configmap())
    query = {"fieldManager": "test"} if content_type == APPLY else {}

    async with asyncio.timeout(SECONDS):
        answer = await api(method, path, body, content_type=content_type, **query)

    assert answer.code == code, answer.body
    assert why in answer.body["message"]
    assert len(answer.body["message"]) < 1000


async def test_brackets_inside_of_strings_are_no_containers(api: Api) -> None:
    text = "{}" * MAX_CONTAINERS

    made = await api.make(CONFIGMAPS, configmap(page=text))

    assert made["data"] == {"page": text}


async def test_of_many_unknown_fields_some_are_told(api: Api) -> None:
    unknown = {f"field{number}": 1 for number in range(50_000)}

    async with asyncio.timeout(SECONDS):
        refused = await api("POST", CONFIGMAPS, configmap() | unknown, fieldValidation="Strict")
        accepted = await api("POST", CONFIGMAPS, configmap() | unknown, fieldValidation="Warn")

    assert (refused.code, refused.body["message"].count("unknown field")) == (400, 100)
    assert accepted.code == 201
    assert accepted.body["data"] == {"color": "blue"}


async def test_of_many_faults_some_are_told(api: Api) -> None:
    tolerations = [{"key": "-bad-"}] * (MAX_FAULTS * 3)
    spec = {"containers": [{"name": "c", "image": "i"}], "tolerations": tolerations}

    refused = await api("POST", PODS, {"metadata": {"name": "x"}, "spec": spec})

    assert refused.code == 422
    assert len(refused.body["details"]["causes"]) == MAX_FAULTS


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b'{"metadata":{"name":"a\\u0000b"}}', 422, id="nul"),
        pytest.param(b'{"metadata":{"name":"x"},"data":{"a":NaN}}', 400, id="nan"),
        pytest.param(b'{"metadata":{"name":"x"},"data":{"a":Infinity}}', 400, id="infinity"),
        pytest.param(b'{"metadata":{"name":"x","generation":1e999}}', 400, id="huge-float"),
        pytest.param(b'{"metadata":{"name":"x","generation":%s}}' % (b"9" * 100_000), 400, id="huge-integer"),
        pytest.param(b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', 400, id="lone-surrogate"),
    ],
)
async def test_odd_values_are_refused(api: Api, body: bytes, code: int) -> None:
    answer = await api("POST", CONFIGMAPS, body)

    assert (answer.code, answer.body["kind"]) == (code, "Status")

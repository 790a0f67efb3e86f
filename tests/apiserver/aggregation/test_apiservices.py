"""Validation and defaults of APIServices, and the ConfigMap for extension servers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.aggregation.identity import identity_headers
from kplane.apiserver.auth.user import User

from ..conftest import Api
from .conftest import NAME, SERVICES, apiservice, because, condition

BUNDLE = base64.b64encode(b"pem").decode()


async def test_defaults(api: Api) -> None:
    made = await api.make(SERVICES, apiservice())

    assert made["spec"]["service"]["port"] == 443


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            {"groupPriorityMinimum": 20001}, "spec.groupPriorityMinimum: Invalid value: 20001", id="group"
        ),
        pytest.param({"versionPriority": 0}, "spec.versionPriority: Invalid value: 0", id="version"),
        pytest.param({"version": "1"}, 'spec.version: Invalid value: "1"', id="version-label"),
        pytest.param({"group": "A"}, 'spec.group: Invalid value: "A"', id="group-name"),
        pytest.param(
            {"group": "", "version": "v2"},
            "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
            id="legacy",
        ),
        pytest.param(
            {"insecureSkipTLSVerify": True, "caBundle": BUNDLE},
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            id="both",
        ),
        pytest.param(
            {"service": None, "caBundle": BUNDLE},
            'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
            id="local-bundle",
        ),
        pytest.param(
            {"service": None, "insecureSkipTLSVerify": True},
            "spec.insecureSkipTLSVerify: Invalid value: true: "
            "local APIServices may not have insecureSkipTLSVerify",
            id="local-insecure",
        ),
        pytest.param({"service": {"name": "x"}}, "spec.service.namespace: Required value", id="namespace"),
        pytest.param({"service": {"namespace": "x"}}, "spec.service.name: Required value", id="name"),
    ],
)  # fmt: skip
async def test_faults(api: Api, spec: dict[str, Any], fault: str) -> None:
    answer = await api("POST", SERVICES, apiservice(**spec))

    assert answer.code == 422
    assert fault in answer.body["message"]


async def test_the_name_says_version_and_group(api: Api) -> None:
    body = apiservice()
    body["metadata"]["name"] = "other"
    answer = await api("POST", SERVICES, body)

    assert (
        'metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: '
        '"v1.flowers.example.com"' in answer.body["message"]
    )


async def test_status_of_a_condition(api: Api) -> None:
    await api.make(SERVICES, apiservice())
    await condition(api, because("ServiceNotFound"))
    body = b'{"status":{"conditions":[{"type":"Other","status":"Maybe"}]}}'
    answer = await api(
        "PATCH", f"{SERVICES}/{NAME}/status", body, content_type="application/merge-patch+json"
    )

    assert answer.code == 422
    assert 'Unsupported value: "Maybe"' in answer.body["message"]


async def test_extension_servers_learn_whom_to_believe(api: Api, front: Path) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    data = (await api("GET", path)).body["data"]

    assert data["client-ca-file"] == (front / "ca.crt").read_text()
    assert data["requestheader-client-ca-file"] == (front / "front-proxy-ca.crt").read_text()
    assert json.loads(data["requestheader-allowed-names"]) == ["front-proxy-client"]
    assert json.loads(data["requestheader-username-headers"]) == ["X-Remote-User"]
    assert json.loads(data["requestheader-group-headers"]) == ["X-Remote-Group"]
    assert json.loads(data["requestheader-extra-headers-prefix"]) == ["X-Remote-Extra-"]


async def test_what_extension_servers_ask_back(api: Api) -> None:
    attributes = {
        "group": "flowers.example.com",
        "resource": "flowers",
        "verb": "list",
        "namespace": "default",
    }
    spec = {"user": "someone", "groups": ["system:authenticated"], "resourceAttributes": attributes}
    review = await api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})

    assert review.code == 201
    assert "allowed" in review.body["status"]


def test_identity_headers_escape_the_keys_of_extras() -> None:
    user = User("ann", "7", ("a", "b"), {"example.com/Scopes": ("x", "y")})

    assert identity_headers(user) == (
        (b"x-remote-user", b"ann"),
        (b"x-remote-uid", b"7"),
        (b"x-remote-group", b"a"),
        (b"x-remote-group", b"b"),
        (b"x-remote-extra-example.com%2Fscopes", b"x"),
        (b"x-remote-extra-example.com%2Fscopes", b"y"),
    )

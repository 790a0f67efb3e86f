"""ServiceAccounts: names, references to Secrets, and what is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
ENFORCE = "kubernetes.io/enforce-mountable-secrets"


async def test_of_a_reference_to_a_secret_only_the_name_is_kept(api: Api) -> None:
    reference = {"kind": "Pod", "namespace": "kube-system", "name": "a", "uid": "7", "fieldPath": "x"}
    body = {"metadata": {"name": "robot"}, "secrets": [reference], "imagePullSecrets": [{"name": "pull"}]}

    made = await api.make(ACCOUNTS, body)
    made["secrets"].append(reference | {"name": "b"})
    changed = await api("PUT", f"{ACCOUNTS}/robot", made)

    assert made["imagePullSecrets"] == [{"name": "pull"}]
    assert changed.body["secrets"] == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("robot.v2", 201),
        ("7", 201),
        ("a" * 253, 201),
        ("a" * 254, 422),
        ("Robot", 422),
        ("a_b", 422),
        ("a..b", 422),
    ],
)
async def test_names_are_those_of_subdomains(api: Api, name: str, code: int) -> None:
    assert (await api("POST", ACCOUNTS, {"metadata": {"name": name}})).code == code


@pytest.mark.parametrize("field", ["secrets", "imagePullSecrets"])
async def test_references_must_be_objects(api: Api, field: str) -> None:
    body: dict[str, Any] = {"metadata": {"name": "robot"}, field: ["a"]}

    assert (await api("POST", ACCOUNTS, body)).code == 400


async def test_mountable_secrets_are_warned_of(api: Api) -> None:
    body = {"metadata": {"name": "robot", "annotations": {ENFORCE: "true"}}}

    answer = await api("POST", ACCOUNTS, body)

    assert answer.headers["warning"] == (
        f'299 - "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate'
        ' access to mounted secrets"'
    )

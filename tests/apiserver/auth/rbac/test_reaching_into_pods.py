"""Exec, attach and port forwarding take the right to create them, whatever the method."""

from __future__ import annotations

import pytest

from ...conftest import pod
from .conftest import Guarded, message, rule, user

PODS = "/api/v1/namespaces/default/pods"
REACHING = "pods/exec pods/attach pods/portforward"


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
async def test_who_may_get_them_runs_nothing(guarded: Guarded, subresource: str) -> None:
    """As a WebSocket does, which begins with a GET."""
    await guarded.admin.make(PODS, pod(nodeName="n"))
    await guarded.role("getting", rule("get", "core", REACHING))
    await guarded.bind("getting", user("ann"))
    path, asking = f"{PODS}/web/{subresource}", {"command": "sh", "stdout": "true", "ports": "80"}

    for method in ("GET", "POST"):
        assert message(await guarded.ann(method, path, **asking)) == (
            f'pods "web" is forbidden: User "ann" cannot create resource "pods/{subresource}" in API group ""'
            ' in the namespace "default"'
        )

    await guarded.role("creating", rule("create", "core", REACHING))
    await guarded.bind("creating", user("ann"))
    # There is no such node; but both would reach it.
    assert {(await guarded.ann(method, path, **asking)).code for method in ("GET", "POST")}.isdisjoint({403})


async def test_who_may_create_them_alone_gets_none(guarded: Guarded) -> None:
    await guarded.admin.make(PODS, pod(nodeName="n"))
    await guarded.role("creating", rule("create", "core", REACHING))
    await guarded.bind("creating", user("ann"))

    text = message(await guarded.ann("GET", f"{PODS}/web/exec", command="sh", stdout="true"))

    assert text.startswith('pods "web" is forbidden: User "ann" cannot get resource "pods/exec"')

"""kubectl's ways through the proxy."""

from __future__ import annotations

import json

import aiohttp
import pytest

from ..kubectl import Kubectl
from .backend import HOST, echo, running

PROXY = "/api/v1/namespaces/default/pods/{name}/proxy/a/b?c=d"


@pytest.mark.slow
async def test_kubectl_get_raw_and_proxy(kubectl: Kubectl) -> None:
    async with running(echo) as port:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": port}]}]},
        }
        await kubectl("create", "-f", "-", stdin=json.dumps(pod))
        status = json.dumps({"status": {"podIP": HOST, "podIPs": [{"ip": HOST}]}})
        await kubectl("patch", "pod", "web", "--subresource=status", "--type=merge", "-p", status)

        got = json.loads(await kubectl("get", "--raw", PROXY.format(name="web")))
        assert (got["path"], got["query"]) == ("/a/b", "c=d")

        async with kubectl.proxying() as address, aiohttp.ClientSession() as session:
            async with session.post(f"{address}{PROXY.format(name='web')}", data=b"sent") as response:
                seen = await response.json()
            assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/a/b", "sent")
            async with session.get(f"{address}/api") as response:
                assert (await response.json())["versions"] == ["v1"]

"""Renewal of a running cluster's certificates: everything goes on, with the new ones."""

from __future__ import annotations

import json

import pytest

from kplane.client import kubeconfig
from kplane.testing.clusters import Cluster, cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHOW = "import ssl, sys; print(ssl.get_server_certificate(('127.0.0.1', int(sys.argv[1]))))"


async def served(hollow: Cluster) -> str:
    """The certificate that the API server shows now."""
    port = kubeconfig.load(hollow.kubeconfig).server.rpartition(":")[2]
    return (await hollow.run("python", "-c", SHOW, port)).out.strip()


async def test_a_renewal_reaches_every_process_without_a_restart() -> None:
    async with cluster("--runtime", "hollow", "--port", "0", "--store", "etcd") as hollow:
        before = await served(hollow)
        pids = {name: process["pid"] for name, process in (await hollow.processes()).items()}

        await hollow.run("kplane", "certs", "renew", "--data-dir", str(hollow.folder))

        after = await served(hollow)
        assert after != before
        assert after == (hollow.folder / "pki" / "apiserver.crt").read_text().strip()
        admin = kubeconfig.load(hollow.kubeconfig)
        assert admin.certificate == (hollow.folder / "pki" / "admin.crt").read_bytes()
        # The scheduler, the controllers and the kubelet all have their part in this.
        await hollow.kubectl("create", "deployment", "web", "--image=busybox")

        async def ready() -> bool:
            return bool((await hollow.get("deployment", "web"))["status"].get("readyReplicas") == 1)

        await eventually(ready)
        assert pids == {name: process["pid"] for name, process in (await hollow.processes()).items()}
        listed = await hollow.run("kplane", "certs", "check", "-o", "json", "--data-dir", str(hollow.folder))
        found = {entry["name"]: entry for entry in json.loads(listed.out)}
        assert found["apiserver-etcd-client"]["caName"] == "etcd/ca"

"""Who reads the metrics of the scheduler and of the controller manager in a cluster that `kplane up` made."""

from __future__ import annotations

import pytest

from kplane.testing.clusters import cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


ANONYMOUS = """
import ssl, sys, urllib.error, urllib.request
url, authority = sys.argv[1:]
try:
    answer = urllib.request.urlopen(url, context=ssl.create_default_context(cafile=authority))
except urllib.error.HTTPError as refusal:
    answer = refusal
print(answer.status, answer.read().decode())
"""
FORBIDDEN = r"forbidden: User \"system:anonymous\" cannot get path \"/metrics\""


async def test_metrics_are_told_to_those_with_the_right_to_them() -> None:
    # In a network namespace of its own, where upstream's ports are free.
    async with cluster("--runtime", "hollow") as hollow:
        await hollow.kubectl("create", "serviceaccount", "scraper")
        token = (await hollow.kubectl("create", "token", "scraper")).out.strip()
        authority = str(hollow.folder / "pki" / "ca.crt")
        scraper = ("--kubeconfig=/dev/null", f"--certificate-authority={authority}", f"--token={token}")

        async def metrics(port: int, *who: str) -> str:
            server = f"--server=https://localhost:{port}"
            return (await hollow.kubectl("get", "--raw", "/metrics", server, *who, check=False)).out

        async def anonymously(port: int, path: str) -> str:
            url = f"https://localhost:{port}{path}"
            return (await hollow.run("python", "-c", ANONYMOUS, url, authority)).out.strip()

        for port in (10257, 10259):
            assert await anonymously(port, "/healthz") == "200 ok"
            said = await anonymously(port, "/metrics")
            assert (said[:4], FORBIDDEN in said) == ("403 ", True)
            assert not await metrics(port, *scraper)
            assert "process_cpu_seconds_total" in await metrics(port)  # the administrator

        await hollow.kubectl("create", "clusterrole", "scrape", "--verb=get", "--non-resource-url=/metrics")
        grant = ("--clusterrole=scrape", "--serviceaccount=default:scraper")
        await hollow.kubectl("create", "clusterrolebinding", "scrape", *grant)

        async def told() -> bool:
            """Refusals are kept for ten seconds."""
            found = [await metrics(port, *scraper) for port in (10257, 10259)]
            return all("process_cpu_seconds_total" in text for text in found)

        await eventually(told, interval=1)

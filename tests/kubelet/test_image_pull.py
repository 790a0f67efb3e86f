"""Pulling: containerd fetches an image from a registry that the test serves on loopback."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from kplane.api.clock import SystemClock
from kplane.kubelet.images import ImageFailure, ImageManager
from kplane.kubelet.runtime.cri import CriRuntime
from kplane.runtime.oci import MEDIA
from kplane.testing.images import busybox

from .support import pod_of

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("containerd")]


@asynccontextmanager
async def registry(archive: bytes) -> AsyncIterator[int]:
    """A read-only registry that serves one image under any name; yields its port."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {entry.name: tar.extractfile(entry) for entry in tar}
        blobs = {name.rpartition("/")[2]: file.read() for name, file in files.items() if file}
    manifest = msgspec.json.decode(blobs["index.json"])["manifests"][0]["digest"]

    async def serve(request: web.Request) -> web.Response:
        wanted = request.match_info["reference"]
        digest = wanted if wanted.startswith("sha256:") else manifest
        body = blobs.get(digest.removeprefix("sha256:"))
        if body is None or "missing" in request.path:
            raise web.HTTPNotFound
        kind = MEDIA + "manifest.v1+json" if digest == manifest else "application/octet-stream"
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest}
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/v2/{name}/{kind:manifests|blobs}/{reference}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("policy", ["Always", "IfNotPresent"])
async def test_absent_image_is_pulled_and_told(cri: CriRuntime, policy: str) -> None:
    told: list[tuple[str, str]] = []
    async with registry(busybox("any:1", cmd=("echo", policy))) as port:
        name = f"localhost:{port}/app:1"
        pod = pod_of({"name": "web", "image": name, "imagePullPolicy": policy})
        manager = ImageManager(cri, SystemClock(), serialize=True)

        image = await manager.ensure(pod, pod.spec.containers[0], [], recorder(told))

    assert name in image.tags
    assert [reason for reason, _ in told] == ["Pulling", "Pulled"]
    assert told[1][1].startswith(f'Successfully pulled image "{name}" in ')
    assert told[1][1].endswith(f"Image size: {image.size} bytes.")
    await cri.remove_image(name)


async def test_missing_image_fails_and_backs_off(cri: CriRuntime) -> None:
    told: list[tuple[str, str]] = []
    async with registry(busybox()) as port:
        pod = pod_of({"name": "web", "image": f"localhost:{port}/missing:1"})
        manager = ImageManager(cri, SystemClock(), serialize=True)
        container = pod.spec.containers[0]

        with pytest.raises(ImageFailure) as first:
            await manager.ensure(pod, container, [], recorder(told))
        with pytest.raises(ImageFailure) as second:
            await manager.ensure(pod, container, [], recorder(told))

    assert (first.value.reason, second.value.reason) == ("ErrImagePull", "ImagePullBackOff")
    assert "not found" in first.value.message
    assert [reason for reason, _ in told] == ["Pulling", "Failed", "BackOff"]
    assert 9 < manager.retry_after(pod, container) <= 10


def recorder(told: list[tuple[str, str]]) -> Any:
    def tell(_kind: str, reason: str, message: str) -> None:
        told.append((reason, message))

    return tell

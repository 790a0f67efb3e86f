"""The runtime behind a CRI v1 socket: containerd, CRI-O, or kplane's own shim.

Owns: the gRPC channel and the translation of calls. The translation of values is in `messages.py`.
Errors: gRPC codes become the Protocol's exceptions, with upstream's wording `rpc error: code = … desc = …`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from cri_api.v1 import api_pb2, api_pb2_grpc

from ..labels import POD_UID
from . import messages
from .interface import (
    Auth,
    Container,
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    Image,
    NoSuchThing,
    Resources,
    RuntimeCondition,
    RuntimeFailure,
    RuntimeUnavailable,
    RuntimeVersion,
    Sandbox,
    SandboxConfig,
    Unsupported,
)

cri: Any = api_pb2
services: Any = api_pb2_grpc

CALL_SECONDS = 120
"""Upstream's `--runtime-request-timeout` is 2 minutes; pulling and stopping have their own."""

_CODE_NAMES = {
    grpc.StatusCode.CANCELLED: "Canceled",
    grpc.StatusCode.INVALID_ARGUMENT: "InvalidArgument",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DeadlineExceeded",
    grpc.StatusCode.NOT_FOUND: "NotFound",
    grpc.StatusCode.ALREADY_EXISTS: "AlreadyExists",
    grpc.StatusCode.PERMISSION_DENIED: "PermissionDenied",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "ResourceExhausted",
    grpc.StatusCode.FAILED_PRECONDITION: "FailedPrecondition",
    grpc.StatusCode.ABORTED: "Aborted",
    grpc.StatusCode.UNIMPLEMENTED: "Unimplemented",
    grpc.StatusCode.INTERNAL: "Internal",
    grpc.StatusCode.UNAVAILABLE: "Unavailable",
    grpc.StatusCode.UNAUTHENTICATED: "Unauthenticated",
}
_KINDS: dict[grpc.StatusCode, type[RuntimeFailure]] = {
    grpc.StatusCode.NOT_FOUND: NoSuchThing,
    grpc.StatusCode.UNAVAILABLE: RuntimeUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}


def failure(error: grpc.aio.AioRpcError) -> RuntimeFailure:
    """The Protocol's exception for a gRPC error."""
    name = _CODE_NAMES.get(error.code(), "Unknown")
    kind = _KINDS.get(error.code(), RuntimeFailure)
    return kind(f"rpc error: code = {name} desc = {error.details()}")


class CriRuntime:
    """`async with` is not needed: the channel connects by itself, and again after containerd restarts."""

    def __init__(self, endpoint: str) -> None:
        # The default back-off between connection attempts grows to 2 minutes: too long for a local socket.
        options = [
            ("grpc.max_receive_message_length", 16 << 20),
            ("grpc.max_send_message_length", 16 << 20),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self._channel = grpc.aio.insecure_channel(endpoint, options=options)
        self._runtime = services.RuntimeServiceStub(self._channel)
        self._images = services.ImageServiceStub(self._channel)
        self.scheme = "containerd"

    async def version(self) -> RuntimeVersion:
        answer = await self._call(self._runtime.Version, cri.VersionRequest(version="0.1.0"))
        self.scheme = answer.runtime_name
        return RuntimeVersion(answer.runtime_name, answer.runtime_version)

    async def conditions(self) -> Sequence[RuntimeCondition]:
        answer = await self._call(self._runtime.Status, cri.StatusRequest())
        return [
            RuntimeCondition(entry.type, entry.status, entry.reason, entry.message)
            for entry in answer.status.conditions
        ]

    async def set_pod_cidr(self, cidr: str) -> None:
        network = cri.NetworkConfig(pod_cidr=cidr)
        request = cri.UpdateRuntimeConfigRequest(runtime_config=cri.RuntimeConfig(network_config=network))
        await self._call(self._runtime.UpdateRuntimeConfig, request)

    async def run_sandbox(self, config: SandboxConfig) -> str:
        request = cri.RunPodSandboxRequest(
            config=messages.sandbox_config(config), runtime_handler=config.runtime_handler
        )
        answer = await self._call(self._runtime.RunPodSandbox, request, timeout=2 * CALL_SECONDS)
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox: str) -> None:
        request = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox)
        await self._gone_is_fine(self._runtime.StopPodSandbox, request)

    async def remove_sandbox(self, sandbox: str) -> None:
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
        await self._gone_is_fine(self._runtime.RemovePodSandbox, request)

    async def sandbox_status(self, sandbox: str) -> Sandbox:
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
        answer = await self._call(self._runtime.PodSandboxStatus, request)
        return messages.sandbox_status(answer.status)

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        wanted = cri.PodSandboxFilter(label_selector={POD_UID: pod_uid} if pod_uid else {})
        answer = await self._call(self._runtime.ListPodSandbox, cri.ListPodSandboxRequest(filter=wanted))
        return [messages.sandbox(entry) for entry in answer.items]

    async def create_container(
        self, sandbox: str, config: ContainerConfig, sandbox_config: SandboxConfig
    ) -> str:
        request = cri.CreateContainerRequest(
            pod_sandbox_id=sandbox,
            config=messages.container_config(config),
            sandbox_config=messages.sandbox_config(sandbox_config),
        )
        answer = await self._call(self._runtime.CreateContainer, request)
        return str(answer.container_id)

    async def start_container(self, container: str) -> None:
        await self._call(self._runtime.StartContainer, cri.StartContainerRequest(container_id=container))

    async def stop_container(self, container: str, timeout: int) -> None:
        request = cri.StopContainerRequest(container_id=container, timeout=timeout)
        await self._gone_is_fine(self._runtime.StopContainer, request, timeout=timeout + CALL_SECONDS)

    async def remove_container(self, container: str) -> None:
        request = cri.RemoveContainerRequest(container_id=container)
        await self._gone_is_fine(self._runtime.RemoveContainer, request)

    async def list_containers(self, pod_uid: str = "") -> Sequence[Container]:
        wanted = cri.ContainerFilter(label_selector={POD_UID: pod_uid} if pod_uid else {})
        answer = await self._call(self._runtime.ListContainers, cri.ListContainersRequest(filter=wanted))
        return [messages.container(entry) for entry in answer.containers]

    async def container_status(self, container: str) -> ContainerStatus:
        request = cri.ContainerStatusRequest(container_id=container)
        answer = await self._call(self._runtime.ContainerStatus, request)
        return messages.container_status(answer.status)

    async def update_resources(self, container: str, resources: Resources) -> None:
        request = cri.UpdateContainerResourcesRequest(
            container_id=container, linux=messages.resources(resources)
        )
        await self._call(self._runtime.UpdateContainerResources, request)

    async def reopen_log(self, container: str) -> None:
        request = cri.ReopenContainerLogRequest(container_id=container)
        await self._call(self._runtime.ReopenContainerLog, request)

    async def exec_sync(self, container: str, command: Sequence[str], timeout: float) -> ExecResult:
        request = cri.ExecSyncRequest(
            container_id=container, cmd=list(command), timeout=max(int(timeout + 0.999), 1) if timeout else 0
        )
        try:
            answer = await self._runtime.ExecSync(request, timeout=timeout + 10 if timeout else None)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError(f"command {list(command)} timed out") from error
            raise failure(error) from error
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec_url(
        self, container: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        request = cri.ExecRequest(
            container_id=container, cmd=list(command), stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
        )
        return str((await self._call(self._runtime.Exec, request)).url)

    async def attach_url(self, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        request = cri.AttachRequest(
            container_id=container, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
        )
        return str((await self._call(self._runtime.Attach, request)).url)

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox, port=list(ports))
        return str((await self._call(self._runtime.PortForward, request)).url)

    async def stats(self) -> Sequence[ContainerStats]:
        answer = await self._call(self._runtime.ListContainerStats, cri.ListContainerStatsRequest())
        return [messages.container_stats(entry) for entry in answer.stats]

    async def image(self, reference: str) -> Image | None:
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=reference))
        answer = await self._call(self._images.ImageStatus, request)
        return messages.image(answer.image) if answer.HasField("image") and answer.image.id else None

    async def pull_image(self, reference: str, auth: Auth | None = None) -> str:
        credentials = None
        if auth is not None:
            credentials = cri.AuthConfig(
                username=auth.username, password=auth.password, server_address=auth.server
            )
        request = cri.PullImageRequest(image=cri.ImageSpec(image=reference), auth=credentials)
        # No deadline: the runtime ends a pull that makes no progress.
        return str((await self._call(self._images.PullImage, request, timeout=None)).image_ref)

    async def list_images(self) -> Sequence[Image]:
        answer = await self._call(self._images.ListImages, cri.ListImagesRequest())
        return [messages.image(entry) for entry in answer.images]

    async def remove_image(self, reference: str) -> None:
        request = cri.RemoveImageRequest(image=cri.ImageSpec(image=reference))
        await self._gone_is_fine(self._images.RemoveImage, request)

    async def events(self) -> AsyncIterator[str]:
        try:
            async for event in self._runtime.GetContainerEvents(cri.GetEventsRequest()):
                yield event.pod_sandbox_status.metadata.uid
        except grpc.aio.AioRpcError as error:
            raise failure(error) from error

    async def close(self) -> None:
        await self._channel.close()

    async def _call(
        self, method: Callable[..., Awaitable[Any]], request: Any, timeout: float | None = CALL_SECONDS
    ) -> Any:
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise failure(error) from error

    async def _gone_is_fine(
        self, method: Callable[..., Awaitable[Any]], request: Any, timeout: float = CALL_SECONDS
    ) -> None:
        try:
            await self._call(method, request, timeout=timeout)
        except NoSuchThing:
            return

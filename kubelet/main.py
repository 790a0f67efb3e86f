"""The kubelet's process: flags, runtime, one node or many hollow ones, and the node server.

With --hollow-nodes all nodes share one client, one watch of Pods, one of Services, one status manager and one
event recorder; a node of its own costs a few idle coroutines and its Lease.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kplane.api.clock import Clock, Entropy, SystemClock
from kplane.api.types import Service
from kplane.client import kubeconfig
from kplane.client.events import EventRecorder
from kplane.client.informer import Informer, InformerFactory
from kplane.client.rest import Client
from kplane.client.transport_https import HttpsTransport
from kplane.runtime import logs, process
from kplane.runtime.health import component_app, respond
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Scope, Serving, ServingConfig

from . import dns, flags, machine, node
from .cgroups import Cgroups
from .claims import ClaimCache
from .config import VERSION, KubeletConfig
from .disk import NodeDisk
from .handlers import NodeNetwork
from .hollow import HollowNetwork, NoDisk
from .host import Host
from .identity import NodeIdentity
from .images import ImageManager
from .kubelet import Kubelet
from .objects import ObjectCache
from .pod import Pod
from .registration import NodeRegistration
from .runtime.cri import CriRuntime
from .runtime.hollow import HollowRuntime
from .runtime.interface import Runtime, RuntimeFailure
from .runtimeclass import RuntimeClass
from .server.app import NodeServer
from .server.containers import NodePods
from .server.gate import build as build_gate
from .status_manager import StatusManager
from .tokens import TokenCache
from .usage import Member, Usage

log = logging.getLogger(__name__)

HEALTH_RETRY_SECONDS = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    return process.run("kubelet", lambda: run(argv))


@dataclass(frozen=True)
class Shared:
    """What all nodes of this process have in common."""

    client: Client
    clock: Clock
    entropy: Entropy
    informers: InformerFactory
    events: EventRecorder
    statuses: StatusManager
    services: Informer[Service]
    runtime_classes: Informer[RuntimeClass]


async def run(argv: Sequence[str] | None) -> None:
    given = flags.parse(argv)
    logs.setup(given.v)
    clock, entropy = SystemClock(), Entropy()
    identity = NodeIdentity(given)
    await identity.bootstrap(clock, entropy)
    try:
        credentials = kubeconfig.load(given.kubeconfig)
    except kubeconfig.ConfigError as error:
        raise Fatal(str(error)) from error
    configs = flags.configs(given, credentials.server)
    client = Client(HttpsTransport(credentials, clock), user_agent=f"kubelet/{VERSION}", clock=clock)
    try:
        await _run_nodes(given, identity, configs, client, clock, entropy)
    finally:
        await client.close()


async def _run_nodes(
    given: argparse.Namespace,
    identity: NodeIdentity,
    configs: Sequence[KubeletConfig],
    client: Client,
    clock: Clock,
    entropy: Entropy,
) -> None:
    shared = _shared(client, clock, entropy, configs[0].node_name)
    endpoint = given.container_runtime_endpoint
    runtimes = [await _runtime(endpoint, config, shared) for config in configs]
    hollow = endpoint.startswith(flags.HOLLOW)
    by_node: dict[str, Kubelet] = {}
    by_name = {config.node_name: runtime for config, runtime in zip(configs, runtimes, strict=True)}
    pods = NodePods(
        lambda namespace, name: _find(by_node, namespace, name),
        lambda pod: by_name[pod.spec.node_name],
        configs[0].pod_logs_dir,
    )
    who, what = flags.authentication(given), flags.authorization(given)
    gate = build_gate(configs[0].node_name, who, what, client, clock, entropy)
    component = component_app({})
    usage = Usage(
        lambda: [Member(name, by_name[name], kubelet.pods) for name, kubelet in by_node.items()],
        clock,
        hollow=hollow,
    )
    app = NodeServer(pods, usage, gate, clock, component)
    certificate, key = identity.serving_files(configs[0], clock)
    serving = ServingConfig(given.address, given.port, certificate, key, given.client_ca_file)
    async with Serving(app, serving) as server, asyncio.TaskGroup() as tasks:
        if given.healthz_port:
            health = ServingConfig(given.healthz_bind_address, given.healthz_port)
            tasks.create_task(serve_health(component, health, clock))
        for rotation in identity.rotations(configs[0], client, clock, entropy):
            tasks.create_task(rotation.run())
        for config, runtime in zip(configs, runtimes, strict=True):
            by_node[config.node_name] = build(config, runtime, shared, server.port, hollow=hollow)
        await run_kubelets(by_node, shared, tasks)


def _shared(client: Client, clock: Clock, entropy: Entropy, node: str) -> Shared:
    """`node`: under whose name Events are written."""
    informers = InformerFactory(client, clock=clock, entropy=entropy)
    return Shared(
        client, clock, entropy, informers,
        EventRecorder(client, "kubelet", clock=clock, entropy=entropy, host=node),
        StatusManager(client, clock),
        informers.informer(Service),
        informers.informer(RuntimeClass),
    )  # fmt: skip


async def serve_health(component: Callable[..., Any], serving: ServingConfig, clock: Clock) -> None:
    """Health without a question who asks; a port that is taken is tried again, as upstream does."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if scope["path"].partition("/healthz")[0]:
            await respond(send, 404, b"404 page not found\n")
            return
        await component(scope, receive, send)

    while True:
        try:
            async with Serving(app, serving):
                await asyncio.Event().wait()
        except Fatal as fault:
            log.error("health is not served error=%s", fault)
        await clock.sleep(HEALTH_RETRY_SECONDS)


def _find(kubelets: dict[str, Kubelet], namespace: str, name: str) -> Pod | None:
    return next((pod for one in kubelets.values() if (pod := one.find(namespace, name))), None)


async def _runtime(endpoint: str, config: KubeletConfig, shared: Shared) -> Runtime:
    """The runtime, which must answer. Raises Fatal."""
    if endpoint.startswith(flags.HOLLOW):
        return HollowRuntime(shared.clock, shared.entropy, config.pod_cidr)
    runtime = CriRuntime(endpoint)
    try:
        await runtime.version()
        if config.pod_cidr:
            await runtime.set_pod_cidr(config.pod_cidr)
    except RuntimeFailure as failure:
        await runtime.close()
        raise Fatal(
            f"no container runtime answers at {endpoint}: start containerd, or give another socket with "
            "--container-runtime-endpoint (hollow:// needs no runtime)"
        ) from failure
    return runtime


def build(config: KubeletConfig, runtime: Runtime, shared: Shared, port: int, *, hollow: bool) -> Kubelet:
    """A node from its parts."""
    client, clock, entropy = shared.client, shared.clock, shared.entropy
    facts = machine.hollow() if hollow else machine.read(config.root_dir)
    wake = _Later()
    objects = ObjectCache(client, clock, entropy, wake)
    cgroups = Cgroups(config.cgroup_root) if not hollow and os.geteuid() == 0 else None
    host = Host(
        config=config,
        client=client,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        events=shared.events,
        statuses=shared.statuses,
        images=ImageManager(runtime, clock, serialize=config.serialize_image_pulls),
        objects=objects,
        disk=NoDisk()
        if hollow
        else NodeDisk(
            config,
            cgroups,
            objects,
            TokenCache(client, clock),
            ClaimCache(client, config.node_name),
            clock,
            entropy,
        ),
        network=HollowNetwork() if hollow else NodeNetwork(),
        services=shared.services.list,
        runtime_classes=shared.runtime_classes.list,
        dns=dns.host(config.resolv_conf),
        allocatable=node.allocatable(config, facts),
        memory=facts.memory,
    )
    kubelet = Kubelet(host, NodeRegistration(client, runtime, clock, config, facts, port))
    wake.target = kubelet
    return kubelet


class _Later:
    """Objects refresh a kubelet that does not exist yet when its object cache is made."""

    target: Kubelet | None = None

    def __call__(self, uid: str) -> None:
        if self.target is not None:
            self.target.refresh(uid)


async def run_kubelets(kubelets: dict[str, Kubelet], shared: Shared, tasks: asyncio.TaskGroup) -> None:
    """Start the nodes and deliver their pods; returns when all is running."""
    # One watch for all hollow nodes: a thousand connections would cost more than a few unwanted pods.
    selector = f"spec.nodeName={next(iter(kubelets))}" if len(kubelets) == 1 else "spec.nodeName!="
    pods = shared.informers.informer(Pod, field_selector=selector)
    tasks.create_task(shared.informers.run())
    tasks.create_task(shared.events.run())
    tasks.create_task(shared.statuses.run())
    for kubelet in kubelets.values():
        started = asyncio.Event()
        tasks.create_task(kubelet.run(started))
        await started.wait()
    await shared.services.wait_synced()
    await shared.runtime_classes.wait_synced()

    def deliver(old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        kubelet = kubelets.get(pod.spec.node_name) if pod else None
        if kubelet is not None:
            kubelet.pod_changed(old, new)

    await pods.wait_synced()
    # The oldest first, those that run before those that do not: room on the node goes in this order.
    for pod in sorted(pods.list(), key=_age):
        deliver(None, pod)
    pods.on_change(deliver)
    for kubelet in kubelets.values():
        kubelet.pods_synced()


def _age(pod: Pod) -> tuple[bool, datetime]:
    return "startTime" not in pod.status, pod.metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC)

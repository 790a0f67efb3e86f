"""Binding: telling the API server which node a Pod goes to.

The node table counts the Pod from the decision on (it is "assumed"); the request runs beside other
decisions. Many are in flight at once, each in its own task.

Invariant: an assumed Pod is released when its binding fails, and confirmed or released by the informer
otherwise; until then no change of the Pod puts it back into the queue.
"""

from __future__ import annotations

import asyncio

from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.client.rest import Client

from .pod import PodInfo

MAX_IN_FLIGHT = 128
"""Bindings under way at once; further ones wait for a place."""


class Binder:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def bind(self, pod: PodInfo, node: str) -> None:
        """POST the binding. Raises ApiError: Conflict where the Pod has a node already, NotFound where it
        is gone or another Pod has taken its name."""
        async with self._places:
            path = Pod.API.path(pod.key.namespace, pod.key.name, "binding")
            await self._client.raw("POST", path, body=binding(pod, node))


def binding(pod: PodInfo, node: str) -> Object:
    """The uid makes sure that it is this Pod, not a later one of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }

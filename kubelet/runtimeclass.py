"""Which of the runtime's handlers runs a pod: its RuntimeClass says. Pure.

Source: the kubelet's `runtimeclass/runtimeclass_manager.go`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import View

from .pod import Pod
from .runtime.interface import RuntimeFailure


class RuntimeClass(View, frozen=True):
    API: ClassVar[Resource[Any]]

    handler: str = ""


RuntimeClass.API = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False, RuntimeClass)


def handler_of(pod: Pod, classes: Iterable[RuntimeClass]) -> str:
    """Empty for the runtime's own choice. Raises RuntimeFailure where the class does not exist."""
    name = pod.spec.runtime_class_name
    if not name:
        return ""
    for entry in classes:
        if entry.metadata.name == name:
            return entry.handler
    raise RuntimeFailure(f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found')

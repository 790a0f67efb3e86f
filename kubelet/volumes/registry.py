"""Every kind of volume that this kubelet can set up, and its folder's name (upstream's plug-in names)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from . import config_map, downward, empty_dir, host_path, image, persistent, projected, secret
from .volume import Request


@dataclass(frozen=True)
class Kind:
    folder: str
    set_up: Callable[[Request], Awaitable[Path]]


KINDS: dict[str, Kind] = {
    "empty_dir": Kind("kubernetes.io~empty-dir", empty_dir.set_up),
    "host_path": Kind("kubernetes.io~host-path", host_path.set_up),
    "config_map": Kind("kubernetes.io~configmap", config_map.set_up),
    "secret": Kind("kubernetes.io~secret", secret.set_up),
    "downward": Kind("kubernetes.io~downward-api", downward.set_up),
    "projected": Kind("kubernetes.io~projected", projected.set_up),
    "claim": Kind("kubernetes.io~claim", persistent.set_up),
    "ephemeral": Kind("kubernetes.io~claim", persistent.set_up),
    "image": Kind("kubernetes.io~image", image.set_up),
}
"""By the field of `kubelet.pod.Volume` that is set."""

"""The flags of Pods that empty volumes for others, under upstream's names.

Elsewhere: running them (recycler.py).
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from kplane.api.decode_error import DecodeError
from kplane.api.resource import Object
from kplane.api.yaml_reader import YamlReader
from kplane.runtime.process import Fatal


def add_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    for kind in ("nfs", "hostpath"):
        add(f"--pv-recycler-pod-template-filepath-{kind}", type=Path, help=f"Pod that empties {kind} volumes")
    add("--pv-recycler-minimum-timeout-nfs", type=int, default=300, help="seconds that it has at least")
    add("--pv-recycler-minimum-timeout-hostpath", type=int, default=60)
    add("--pv-recycler-increment-timeout-nfs", type=int, default=30, help="seconds that each Gi adds")
    add("--pv-recycler-timeout-increment-hostpath", type=int, default=30)


def settle(options: dict[str, Any]) -> None:
    """Replace the files by the Pods in them. Raises Fatal."""
    for kind in ("nfs", "hostpath"):
        path = options.pop(f"pv_recycler_pod_template_filepath_{kind}")
        options[f"pv_recycler_template_{kind}"] = None if path is None else template(path)


def template(path: Path) -> Object:
    """Raises Fatal for what is no Pod with a volume."""
    try:
        pod = YamlReader(path.read_bytes()).value()
    except (OSError, DecodeError) as error:
        raise Fatal(f"cannot read the recycler's Pod {path}: {error}") from error
    spec = pod.get("spec") if isinstance(pod, dict) else None
    if not isinstance(spec, dict) or not spec.get("volumes"):
        raise Fatal(f"invalid recycler pod template {path}: does not contain any volume(s)")
    return dict(pod)

"""The flags about volumes, under upstream's names.

Some are taken and mean nothing here, so that a manifest of upstream's starts: nothing is compared with the
world now and then, as caches are never out of date for long; there are no Flex volumes, and no provisioner
inside this process that makes directories on its host, which upstream has for tests.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from kplane.api.decode_error import DecodeError
from kplane.api.resource import Object
from kplane.api.yaml_reader import YamlReader
from kplane.runtime.process import Fatal, flag_bool, flag_duration

WITHOUT_EFFECT = (
    "attach_detach_reconcile_sync_period", "disable_attach_detach_reconcile_sync",
    "enable_hostpath_provisioner", "flex_volume_plugin_dir",
)  # fmt: skip


def add_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--pvclaimbinder-sync-period", type=flag_duration, default=15.0,
        help="time between two looks at claims that wait, and at volumes that failed",
    )  # fmt: skip
    switch(parser, "enable-dynamic-provisioning", "ask provisioners for volumes", default=True)
    switch(
        parser, "disable-force-detach-on-timeout",
        "never take a volume from a node that holds it, unless that is out of service",
    )  # fmt: skip
    add("--attach-detach-reconcile-sync-period", type=flag_duration, default=60.0, help="without effect")
    switch(parser, "disable-attach-detach-reconcile-sync", "without effect")
    switch(parser, "enable-hostpath-provisioner", "without effect: no such provisioner is built in")
    add("--flex-volume-plugin-dir", default="", help="without effect")
    for kind in ("nfs", "hostpath"):
        add(f"--pv-recycler-pod-template-filepath-{kind}", type=Path, help=f"Pod that empties {kind} volumes")
    add("--pv-recycler-minimum-timeout-nfs", type=int, default=300, help="seconds that it has at least")
    add("--pv-recycler-minimum-timeout-hostpath", type=int, default=60)
    add("--pv-recycler-increment-timeout-nfs", type=int, default=30, help="seconds that each Gi adds")
    add("--pv-recycler-timeout-increment-hostpath", type=int, default=30)


def switch(parser: ArgumentParser, name: str, text: str, *, default: bool = False) -> None:
    parser.add_argument(f"--{name}", type=flag_bool, nargs="?", const=True, default=default, help=text)


def settle(options: dict[str, Any]) -> None:
    """Replace the files by the Pods in them. Raises Fatal."""
    for name in WITHOUT_EFFECT:
        options.pop(name)
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

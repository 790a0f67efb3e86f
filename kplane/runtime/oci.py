"""OCI image archives, written from files in memory: images where no registry is within reach.

    archive("localhost/pause:1", [File("pause", elf, 0o755)], ImageConfig(entrypoint=("/pause",)))

One layer, one platform, `oci-layout` form: what `ctr images import`, `podman load` and `skopeo` read. Equal
input gives the same bytes, so that an unchanged image keeps its digest.
"""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

MEDIA = "application/vnd.oci.image."

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machine's name, as uname tells it, to Go's."""


def architecture() -> str:
    """This machine's architecture in Go's spelling, which images and node labels use."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True)
class File:
    """One entry of the layer: a regular file, a symbolic link (`link`), or a folder (path ends in `/`)."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True)
class ImageConfig:
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    architecture: str = ""
    """This machine's where empty."""


def archive(name: str, files: Sequence[File], config: ImageConfig) -> bytes:
    """The tar archive of an image that imports under `name`, e.g. `localhost/pause:1`."""
    layer = _tar(files)
    config_blob = _config(layer, config)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA + "manifest.v1+json",
            "config": _descriptor("config.v1+json", config_blob),
            "layers": [_descriptor("layer.v1.tar", layer)],
        }
    )
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor("manifest.v1+json", manifest) | {"annotations": annotations}],
    }
    entries = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", _json(index))]
    entries += [(f"blobs/sha256/{_digest(blob)}", blob) for blob in (layer, config_blob, manifest)]
    return _tar([File(path, data) for path, data in entries])


def _config(layer: bytes, config: ImageConfig) -> bytes:
    run = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": [f"{key}={value}" for key, value in config.env.items()],
        "User": config.user,
        "WorkingDir": config.workdir,
    }
    return _json(
        {
            "architecture": config.architecture or architecture(),
            "os": "linux",
            "config": {key: value for key, value in run.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
        }
    )


def _tar(files: Sequence[File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            member = tarfile.TarInfo(file.path.rstrip("/"))
            member.mode = file.mode
            if file.link:
                member.type, member.linkname = tarfile.SYMTYPE, file.link
            elif file.path.endswith("/"):
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(file.data)
            tar.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": MEDIA + kind, "digest": f"sha256:{_digest(blob)}", "size": len(blob)}


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()

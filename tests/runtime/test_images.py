"""OCI archives, the pause program, and the texts for a private containerd."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from kplane.runtime import cni, containerd, pause
from kplane.runtime.oci import File, ImageConfig, archive


def test_archive_has_a_layout_and_blobs_that_match_their_digests() -> None:
    built = archive("localhost/a:1", [File("bin/"), File("bin/x", b"x", 0o755)], ImageConfig(cmd=("/bin/x",)))

    with tarfile.open(fileobj=io.BytesIO(built)) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
    (manifest,) = index["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == "localhost/a:1"
    assert f"blobs/{manifest['digest'].replace(':', '/')}" in names


def test_equal_input_gives_equal_bytes() -> None:
    assert pause.image() == pause.image()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_pause_program_is_a_static_executable(machine: str) -> None:
    program = pause.elf(machine)

    assert program[:4] == b"\x7fELF"
    assert len(program) < 300


async def test_pause_program_waits_until_it_is_killed(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        raise AssertionError("kplane has no pause program for this machine")
    path = tmp_path / "pause"
    path.write_bytes(pause.elf())
    path.chmod(0o755)

    with subprocess.Popen([path]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.kill()

    assert process.returncode == -9


def test_bridge_network_has_a_gateway_and_routes_out() -> None:
    found = cni.bridge_conflist("net", "br0", "10.1.0.0/24")

    bridge, portmap = found["plugins"]
    assert (bridge["bridge"], bridge["isGateway"], bridge["ipMasq"]) == ("br0", True, True)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.1.0.0/24"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert portmap["capabilities"] == {"portMappings": True}


def test_containerd_configuration_is_toml_with_quoted_paths() -> None:
    text = containerd.config(
        Path('/a "b"/root'), Path("/state"), Path("/sock"), Path("/bin"), Path("/conf"), "localhost/pause:1"
    )

    parsed = tomllib.loads(text)
    cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
    assert parsed["root"] == '/a "b"/root'
    assert cri["sandbox_image"] == "localhost/pause:1"
    assert cri["restrict_oom_score_adj"] is True
    assert cri["cni"] == {"bin_dir": "/bin", "conf_dir": "/conf"}

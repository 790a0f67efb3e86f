"""Volumes on disk: atomic updates, host paths, ownership, safe sub-paths."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kplane.api.clock import Entropy
from kplane.kubelet.persistentvolume import PersistentVolume
from kplane.kubelet.pod import HostPathSource, Volume
from kplane.kubelet.volumes import atomic, host_path, mounts, subpath
from kplane.kubelet.volumes.atomic import Projected
from kplane.kubelet.volumes.volume import Request, VolumeFailure
from kplane.testing.clock import VirtualClock

from .support import pod_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write(folder: Path, suffix: str, **files: str) -> bool:
    return atomic.write(
        folder, {name: Projected(text.encode(), 0o644) for name, text in files.items()}, NOW, suffix
    )


def test_files_are_links_into_the_current_set(tmp_path: Path) -> None:
    assert write(tmp_path, "a", key="1")

    assert (tmp_path / "key").read_text() == "1"
    assert (tmp_path / "key").readlink() == Path("..data/key")
    assert (tmp_path / "..data").readlink() == Path("..2026_01_01_00_00_00.a")


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "a", key="1")

    assert not write(tmp_path, "b", key="1")
    assert (tmp_path / "..data").readlink().name.endswith(".a")


def test_update_swaps_all_files_and_drops_the_old(tmp_path: Path) -> None:
    write(tmp_path, "a", old="1", both="1")

    assert write(tmp_path, "b", new="2", both="2")

    assert (tmp_path / "both").read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "..2026_01_01_00_00_00.b",
        "..data",
        "both",
        "new",
    ]


def test_mode_change_counts_as_a_change(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"key": Projected(b"1", 0o644)}, NOW, "a")

    assert atomic.write(tmp_path, {"key": Projected(b"1", 0o600)}, NOW, "b")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_secret_data_is_in_no_repr() -> None:
    assert "hush" not in repr(Projected(b"hush", 0o600))


async def set_up(path: Path, kind: str) -> Path:
    volume = Volume(name="v", host_path=HostPathSource(path=str(path), type=kind))

    async def none(_name: object) -> None:
        return None

    async def no_token(_spec: object) -> str:
        return ""

    async def no_claim() -> PersistentVolume:
        return PersistentVolume()

    return await host_path.set_up(
        Request(pod_of(), volume, path, none, none, no_token, no_claim, {}, VirtualClock(), Entropy(0))
    )


async def test_host_path_makes_what_its_type_allows(tmp_path: Path) -> None:
    assert (await set_up(tmp_path / "folder", "DirectoryOrCreate")).is_dir()
    assert (await set_up(tmp_path / "file", "FileOrCreate")).is_file()
    assert await set_up(tmp_path / "anything", "") == tmp_path / "anything"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("Directory", "a directory", id="directory"),
        pytest.param("Socket", "a socket file", id="socket"),
        pytest.param("BlockDevice", "a block device", id="block device"),
    ],
)
async def test_host_path_of_the_wrong_type_is_refused(tmp_path: Path, kind: str, expected: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(VolumeFailure, match=f"hostPath type check failed: .*/file is not {expected}"):
        await set_up(tmp_path / "file", kind)


@pytest.mark.node
def test_sub_path_is_made_and_mounted(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()

    target = subpath.prepare(tmp_path / "volume", "a/b", tmp_path / "target")
    (tmp_path / "volume" / "a" / "b" / "file").write_text("x")

    assert (target / "file").read_text() == "x"
    mounts.unmount(target)


@pytest.mark.parametrize("path", ["../out", "/etc", "link/x"])
def test_sub_path_that_leaves_the_volume_is_refused(tmp_path: Path, path: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to("/etc")

    with pytest.raises(VolumeFailure):
        subpath.prepare(volume, path, tmp_path / "target")

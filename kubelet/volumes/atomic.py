"""Files that change all at once: readers see the old set or the new one, never a mixture.

    volume/..2026_01_02_03_04_05.x7k2p/key    the files
    volume/..data -> ..2026_01_02_03_04_05.x7k2p    swapped by one rename
    volume/key -> ..data/key

Source: the kubelet's `volume/util/atomic_writer.go`, whose layout programs rely on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

DATA = "..data"


@dataclass(frozen=True, slots=True)
class Projected:
    """One file; `data` may be secret and is in no repr."""

    data: bytes = field(repr=False)
    mode: int
    user: int | None = None
    """Who owns it, if not the kubelet."""


Payload = Mapping[str, Projected]


def write(folder: Path, payload: Payload, now: datetime, suffix: str, group: int | None = None) -> bool:
    """Bring the folder to the payload; False if it was there already. Paths are relative, without `..`."""
    current = folder / DATA
    if current.exists() and _same(current.resolve(), payload, group):
        return False
    fresh = folder / f"..{now:%Y_%m_%d_%H_%M_%S}.{suffix}"
    _fill(fresh, payload, group)
    old = current.resolve() if current.is_symlink() else None
    swap = folder / "..data_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    swap.rename(current)
    _link(folder, payload)
    if old is not None and old != fresh:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _same(folder: Path, payload: Payload, group: int | None) -> bool:
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    if present.keys() != payload.keys():
        return False
    return all(
        path.read_bytes() == payload[name].data and path.stat().st_mode & 0o777 == _mode(payload[name], group)
        for name, path in present.items()
    )


def _mode(file: Projected, group: int | None) -> int:
    """fsGroup may read what its owner may."""
    return file.mode if group is None else file.mode | 0o440


def _fill(folder: Path, payload: Payload, group: int | None) -> None:
    folder.mkdir(mode=0o755)
    for name, file in payload.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(file.data)
        if group is not None or file.user is not None:
            os.chown(path, -1 if file.user is None else file.user, -1 if group is None else group)
        path.chmod(_mode(file, group))


def _link(folder: Path, payload: Payload) -> None:
    wanted = {Path(name).parts[0] for name in payload}
    for entry in folder.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path(DATA) / name)

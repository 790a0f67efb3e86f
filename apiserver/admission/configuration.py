"""The file of `--admission-control-config-file`: an AdmissionConfiguration, which names each plug-in's own
configuration, written there or in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kplane.api.resource import Object
from kplane.runtime.process import Fatal

VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")


def load(path: Path | None) -> Mapping[str, Object]:
    """The configurations by plug-in. Raises Fatal with one line for a file that cannot be used."""
    if path is None:
        return {}
    root = _read(path)
    if root.get("kind") != "AdmissionConfiguration" or root.get("apiVersion") not in VERSIONS:
        raise Fatal(f"{path} is no AdmissionConfiguration of {VERSIONS[0]}")
    found: dict[str, Object] = {}
    for entry in root.get("plugins") or []:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise Fatal(f"{path}: each of the plugins needs a name")
        if entry.get("configuration") is not None:
            found[entry["name"]] = _object(entry["configuration"], path)
        elif entry.get("path"):
            found[entry["name"]] = _read(path.parent / str(entry["path"]))
    return found


def _read(path: Path) -> Object:
    try:
        return _object(yaml.safe_load(path.read_text()), path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Fatal(f"cannot read {path}: {error}") from error


def _object(value: Any, path: Path) -> Object:
    if not isinstance(value, dict):
        raise Fatal(f"{path}: an object is expected, not {type(value).__name__}")
    return value

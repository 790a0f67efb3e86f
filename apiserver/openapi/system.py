"""The paths that are not about resources: version, and discovery itself. Generated clients call these too."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.schema import META

from .operations import JSON_AND_YAML, Operation, PathItem, tag, title

VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info"


def general() -> Iterator[PathItem]:
    """What every server has."""
    yield _get("/version/", "getCodeVersion", "get the code version", "version", VERSION_INFO)
    yield _get("/api/", "getCoreAPIVersions", "get available API versions", "core", f"{META}APIVersions")
    yield _get("/apis/", "getAPIVersions", "get available API groups", "apis", f"{META}APIGroupList")


def of_group(group: str) -> PathItem:
    """Discovery of a group; the core group has none."""
    name = f"get{title(group, '')}APIGroup"
    return _get(f"/apis/{group}/", name, "get information of a group", tag(group, ""), f"{META}APIGroup")


def of_version(group: str, version: str) -> PathItem:
    """Discovery of a group and version."""
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    name = f"get{title(group, version)}APIResources"
    return _get(path, name, "get available resources", tag(group, version), f"{META}APIResourceList")


def _get(path: str, name: str, description: str, label: str, answer: str) -> PathItem:
    operation = Operation(
        "get", name, "", None, description, label, (), {"200": answer}, consumes=JSON_AND_YAML
    )
    return PathItem(path, (), (operation,))

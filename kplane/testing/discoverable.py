"""A fake cluster that answers discovery as well, from the scheme: for controllers of all resources."""

from __future__ import annotations

from collections.abc import Mapping

from kplane.api.errors import ServiceUnavailable
from kplane.api.resource import Object
from kplane.client.codec import encode
from kplane.client.transport import Response
from kplane.testing.cluster import FakeCluster


class DiscoverableCluster(FakeCluster):
    """`broken` holds group versions whose discovery fails; `apis` in it stands for all of them."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.broken: set[str] = set()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        parts = path.strip("/").split("/")
        if parts[0] in self.broken:
            return Response(503, {}, encode(ServiceUnavailable("starting").status()))
        if parts == ["apis"]:
            return Response(200, {}, encode(self._groups()))
        if parts[0] == "api" and len(parts) == 2:
            return Response(200, {}, encode(self._resources("", parts[1])))
        if parts[0] == "apis" and len(parts) == 3:
            if "/".join(parts[1:]) in self.broken:
                error = ServiceUnavailable("the server is currently unable to handle the request")
                return Response(503, {}, encode(error.status()))
            return Response(200, {}, encode(self._resources(parts[1], parts[2])))
        return await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)

    def _groups(self) -> Object:
        groups: dict[str, list[Object]] = {}
        for group, version in self.server.scheme.group_versions():
            if group:
                groups.setdefault(group, []).append(
                    {"groupVersion": f"{group}/{version}", "version": version}
                )
        return {
            "kind": "APIGroupList",
            "groups": [{"name": group, "versions": versions} for group, versions in groups.items()],
        }

    def _resources(self, group: str, version: str) -> Object:
        rows = [
            row for row in self.server.scheme.rows.values() if (row.group, row.version) == (group, version)
        ]
        return {
            "kind": "APIResourceList",
            "resources": [
                {"name": name, "kind": kind, "namespaced": row.namespaced, "verbs": list(verbs)}
                for row in rows
                for name, kind, verbs in (
                    (row.plural, row.kind, row.verbs),
                    *((f"{row.plural}/{sub.name}", sub.kind, sub.verbs) for sub in row.subresources),
                )
            ],
        }

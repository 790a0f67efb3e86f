"""Makes admission policies with their bindings on a server, and waits until they are in effect."""

from __future__ import annotations

from typing import Any

from ..conftest import Api

GROUP = "/apis/admissionregistration.k8s.io/v1"
VALIDATING = f"{GROUP}/validatingadmissionpolicies"
VALIDATING_BINDINGS = f"{GROUP}/validatingadmissionpolicybindings"
MUTATING = f"{GROUP}/mutatingadmissionpolicies"
MUTATING_BINDINGS = f"{GROUP}/mutatingadmissionpolicybindings"


def rules(resources: str = "configmaps", operations: str = "CREATE UPDATE", **more: Any) -> dict[str, Any]:
    """A matchConstraints about these resources of all groups and versions."""
    rule = {"operations": operations.split(), "resources": resources.split()}
    return {"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"]} | rule]} | more


class Policies:
    """Policies about ConfigMaps, unless `matchConstraints` says otherwise."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def validating(
        self, name: str, *validations: dict[str, Any], binding: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        """A policy and a binding of its name; `binding` adds to the latter's spec."""
        spec = {"matchConstraints": rules(), "validations": list(validations)} | spec
        await self.make(VALIDATING, name, spec)
        await self.make(
            VALIDATING_BINDINGS, name, {"policyName": name, "validationActions": ["Deny"]} | (binding or {})
        )

    async def mutating(
        self, name: str, *mutations: dict[str, Any], binding: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        given = {"matchConstraints": rules(), "mutations": list(mutations), "reinvocationPolicy": "Never"}
        await self.make(MUTATING, name, given | spec)
        await self.make(MUTATING_BINDINGS, name, {"policyName": name} | (binding or {}))

    async def make(self, path: str, name: str, spec: dict[str, Any]) -> None:
        await self._api.make(path, {"metadata": {"name": name}, "spec": spec})
        # A consistent read: the watch cache has what was written.
        await self._api("GET", f"{path}/{name}")

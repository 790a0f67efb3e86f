"""ValidatingAdmissionPolicy status: warns of expressions that do not fit the kinds that they are about.

Reads: ValidatingAdmissionPolicies, from the informer cache; CustomResourceDefinitions, live.
Writes: their status, by server-side apply. A policy works as it is, whatever is warned of.
Elsewhere: the types of kinds, and the texts of the warnings (policytypes.py).
"""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Key, Object, Resource
from kplane.api.scheme import builtin
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

from .policytypes import Types, warnings

POLICIES: Resource[dict[str, Any]] = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    False,
    dict,
)
DEFINITIONS: Resource[dict[str, Any]] = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, dict
)


class ValidatingAdmissionPolicyStatusController:
    name = "validatingadmissionpolicy-status-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        # The role of this controller says nothing of definitions.
        self._reader = ctx.informers.client
        self._scheme = builtin()
        self._policies = ctx.informer(POLICIES)
        self._policies.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Check each generation of a policy once. Safe to repeat at any time."""
        policy = self._policies.get(key)
        if policy is None:
            return None
        generation = policy["metadata"].get("generation", 0)
        if generation <= (policy.get("status") or {}).get("observedGeneration", 0):
            return None
        definitions = await self._reader.list(DEFINITIONS)
        found = warnings(policy, Types(self._scheme, definitions.items))
        checking: Object = {"expressionWarnings": found} if found else {}
        body = {
            "apiVersion": POLICIES.api_version,
            "kind": POLICIES.kind,
            "metadata": {"name": key.name},
            "status": {"observedGeneration": generation, "typeChecking": checking},
        }
        await self._client.patch(
            POLICIES,
            key.name,
            "",
            body,
            kind=PatchType.APPLY,
            subresource="status",
            field_manager=self.name,
            force=True,
        )
        return None

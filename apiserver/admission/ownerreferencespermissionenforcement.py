"""OwnerReferencesPermissionEnforcement: who hands an object to an owner could have deleted it, and who holds
an owner's deletion up may do that to the owner.

Source: `plugin/pkg/admission/gc`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api.resource import Object

from ..http.requestinfo import RequestInfo
from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused

_NO_REASON = ", <nil>"
"""Upstream appends the authoriser's reason and error, of which there mostly is none."""


class OwnerReferencesPermissionEnforcement:
    name = "OwnerReferencesPermissionEnforcement"
    handles = on(Operation.CREATE, Operation.UPDATE)

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def validate(self, attributes: Attributes) -> None:
        info, new = attributes.info, attributes.object
        # The status of a pod never changes its owners, and old kubelets send spoilt ones.
        if new is None or (info.group, info.plural, attributes.subresource) == ("", "pods", "status"):
            return
        before, after = _owners(attributes.old), _owners(new)
        if before == after:
            return
        if not await self._allowed(attributes, "delete", info.group, info.version, info.plural):
            why = "cannot set an ownerRef on a resource you can't delete: "
            raise refused(attributes, why + _NO_REASON)
        blocking = list(_newly_blocking(before, after))
        if not blocking or await self._may_finalize(attributes, "*", "*", "*", "*", namespaced=False):
            return
        for reference in blocking:
            await self._check(attributes, reference)

    async def _check(self, attributes: Attributes, reference: Object) -> None:
        api_version, kind = reference.get("apiVersion", ""), reference.get("kind", "")
        group, _, version = api_version.rpartition("/")
        row = self._context.kind(group, version, kind)
        if row is None:
            raise refused(
                attributes,
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f'{api_version} Kind {kind}: no matches for kind "{kind}" in version "{api_version}"',
            )
        name = reference.get("name", "")
        if not await self._may_finalize(
            attributes, group, version, row.plural, name, namespaced=row.namespaced
        ):
            why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
            raise refused(attributes, f"{why}finalizers on: {_NO_REASON}")

    async def _allowed(
        self, attributes: Attributes, verb: str, group: str, version: str, plural: str
    ) -> bool:
        info = RequestInfo(verb, "", "", {}, group=group, version=version, resource=plural)
        info.subresource, info.namespace = attributes.subresource, attributes.namespace
        info.name = attributes.name
        return await self._context.decide(attributes.user, info)

    async def _may_finalize(
        self, attributes: Attributes, group: str, version: str, plural: str, name: str, *, namespaced: bool
    ) -> bool:
        info = RequestInfo("update", "", "", {}, group=group, version=version, resource=plural)
        info.subresource, info.name = "finalizers", name
        info.namespace = attributes.namespace if namespaced else ""
        return await self._context.decide(attributes.user, info)


def _owners(obj: Object | None) -> Sequence[Object]:
    found: Sequence[Object] = ((obj or {}).get("metadata") or {}).get("ownerReferences") or []
    return found


def _newly_blocking(before: Sequence[Object], after: Sequence[Object]) -> Iterator[Object]:
    were = {each.get("uid") for each in before if each.get("blockOwnerDeletion")}
    for reference in after:
        if reference.get("blockOwnerDeletion") and reference.get("uid") not in were:
            yield reference

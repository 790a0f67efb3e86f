"""Certificates of Pods: a node asks for those of its own Pods alone, and who decides may sign for the signer.

Source: plugin/pkg/admission/noderestriction, plugin/pkg/admission/certificates/podcertificaterequestsigning.
"""

from __future__ import annotations

from kplane.api.errors import InternalError, not_found
from kplane.api.resource import Object

from .certificates import GROUP, may
from .chain import Attributes, Operation, on
from .context import AdmissionContext, Reader, refused

PLURAL = "podcertificaterequests"
MIRROR = "kubernetes.io/config.mirror"
_DECIDED = ("certificateChain", "conditions")


class PodCertificateRequestSigning:
    name = "PodCertificateRequestSigning"
    handles = on(Operation.UPDATE, to=(f"{PLURAL}.{GROUP}/status",))

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def validate(self, attributes: Attributes) -> None:
        """Only a change of the certificate or the conditions is signing."""
        new, old = ((obj or {}).get("status") or {} for obj in (attributes.object, attributes.old))
        if all((new.get(name) or None) == (old.get(name) or None) for name in _DECIDED):
            return
        signer = ((attributes.old or {}).get("spec") or {}).get("signerName", "")
        if not await may(self._context, attributes, "sign", signer):
            raise refused(attributes, f'user not permitted to sign requests with signerName "{signer}"')


class PodCertificates:
    """What a node says in a request must be so. Where a uid differs, a cache may only be late: that is told
    as a fault, after which the node tries again."""

    def __init__(self, context: AdmissionContext) -> None:
        self._nodes = context.read("nodes")
        self._pods = context.read("pods")
        self._accounts = context.read("serviceaccounts")

    async def check(self, attributes: Attributes, node: str) -> None:
        """Raises Forbidden, NotFound and InternalError."""
        if attributes.operation is not Operation.CREATE:
            raise refused(attributes, f"unexpected operation {attributes.operation}")
        if attributes.subresource:
            raise refused(attributes, f"unexpected subresource {attributes.subresource}")
        spec = (attributes.object or {}).get("spec") or {}
        if spec.get("nodeName") != node:
            told = f'PodCertificateRequest.Spec.NodeName="{spec.get("nodeName", "")}"'
            raise refused(attributes, f'{told}, which is not the requesting node "{node}"')
        found = await _present(self._nodes, "nodes", "", node)
        pod = f"{attributes.namespace}/{spec.get('podName', '')}"
        about = f'PodCertificateRequest for pod "{pod}"'
        if found["metadata"]["uid"] != spec.get("nodeUID"):
            given = f'names node UID "{spec.get("nodeUID", "")}"'
            raise InternalError(
                f'{about} {given}, inconsistent with the running node ("{found["metadata"]["uid"]}")'
            )
        await self._check_pod(attributes, spec, node, about, pod)
        await self._check_account(attributes, spec, about)

    async def _check_pod(
        self, attributes: Attributes, spec: Object, node: str, about: str, name: str
    ) -> None:
        pod = await _present(self._pods, "pods", attributes.namespace, spec.get("podName", ""))
        if spec.get("podUID") != pod["metadata"]["uid"]:
            given = f'contains pod UID ("{spec.get("podUID", "")}")'
            raise InternalError(f'{about} {given} which differs from running pod "{pod["metadata"]["uid"]}"')
        if pod["spec"].get("nodeName") != node:
            why = f'pod "{name}" is not running on node "{node}" named in the PodCertificateRequest'
            raise refused(attributes, why)
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            raise refused(attributes, f'pod "{name}" is a mirror pod')
        said, account = spec.get("serviceAccountName", ""), pod["spec"].get("serviceAccountName", "")
        if said != account:
            given = f'contains serviceAccountName ("{said}") that differs from running pod'
            raise refused(attributes, f'{about} {given} ("{account}")')

    async def _check_account(self, attributes: Attributes, spec: Object, about: str) -> None:
        name = spec.get("serviceAccountName", "")
        account = await _present(self._accounts, "serviceaccounts", attributes.namespace, name)
        uid = account["metadata"]["uid"]
        if uid != spec.get("serviceAccountUID"):
            given = f'names service account UID "{spec.get("serviceAccountUID", "")}"'
            raise InternalError(f'{about} {given}, which differs from the running service account ("{uid}")')


async def _present(reader: Reader, plural: str, namespace: str, name: str) -> Object:
    """Raises NotFound."""
    found = await reader.get(namespace, name)
    if found is None:
        raise not_found(plural, "", name)
    return found

"""NodeRestriction: a kubelet writes its own node, the pods on it and what belongs to them, nothing else.

A node is a user `system:node:<name>` in the group `system:nodes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api.errors import not_found
from kplane.api.resource import Object

from .certificates import common_name
from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, refused
from .nodeaudiences import NodeAudiences
from .podcertificates import PodCertificates
from .podreferences import needed_resource

USER, GROUP = "system:node:", "system:nodes"
MIRROR = "kubernetes.io/config.mirror"
LEASES = "kube-node-lease"
RESTRICTED = "node-restriction.kubernetes.io"
OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    }
)  # fmt: skip
OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
CLAIM_STATUS = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")


class NodeRestriction:
    name = "NodeRestriction"
    handles = on(Operation.CREATE, Operation.UPDATE, Operation.DELETE)

    def __init__(self, context: AdmissionContext) -> None:
        self._pods = context.read("pods")
        self._nodes = context.read("nodes")
        self._audiences = NodeAudiences(context)
        self._certificates = PodCertificates(context)

    def admit(self, attributes: Attributes) -> Waiting:
        user = attributes.user
        return self._restrict(attributes) if user.name.startswith(USER) and GROUP in user.groups else None

    async def _restrict(self, attributes: Attributes) -> None:
        user = attributes.user
        node = user.name.removeprefix(USER)
        if not node:
            raise refused(attributes, f'could not determine node from user "{user.name}"')
        match (attributes.info.group, attributes.info.plural):
            case ("", "pods"):
                await self._pod(attributes, node)
            case ("", "nodes"):
                _check_node(attributes, node)
            case ("", "persistentvolumeclaims"):
                _check_claim(attributes, node)
            case ("", "serviceaccounts"):
                await self._token(attributes, node)
            case ("coordination.k8s.io", "leases"):
                _check_lease(attributes, node)
            case ("storage.k8s.io", "csinodes"):
                if _name(attributes) != node:
                    why = "can only access CSINode with the same name as the requesting node"
                    raise refused(attributes, why)
            case ("resource.k8s.io", "resourceslices"):
                _check_slice(attributes, node)
            case ("certificates.k8s.io", "certificatesigningrequests"):
                _check_request(attributes, node)
            case ("certificates.k8s.io", "podcertificaterequests"):
                await self._certificates.check(attributes, node)

    async def _pod(self, attributes: Attributes, node: str) -> None:
        match attributes.subresource:
            case "":
                await self._whole_pod(attributes, node)
            case "status":
                _check_pod_status(attributes, node)
            case "eviction":
                pod = await self._own_pod(attributes, _name(attributes))
                if pod["spec"].get("nodeName") != node:
                    why = f"node {node} can only evict pods with spec.nodeName set to itself"
                    raise refused(attributes, why)
            case other:
                why = f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"
                raise refused(attributes, why)

    async def _whole_pod(self, attributes: Attributes, node: str) -> None:
        if attributes.operation is Operation.CREATE:
            for why in _mirror_faults(attributes.object or {}, node):
                raise refused(attributes, why)
            await self._check_owner(attributes, node)
        elif attributes.operation is Operation.DELETE:
            pod = attributes.old or await self._own_pod(attributes, attributes.name)
            if pod["spec"].get("nodeName") != node:
                why = f'node "{node}" can only delete pods with spec.nodeName set to itself'
                raise refused(attributes, why)
        else:
            raise refused(
                attributes,
                f'unexpected operation "{attributes.operation}", node "{node}" can only create and delete '
                "mirror pods",
            )

    async def _check_owner(self, attributes: Attributes, node: str) -> None:
        """The owner's uid must be the node's. Raises NotFound for a node that is not there."""
        found = await self._nodes.get("", node)
        if found is None:
            raise not_found("nodes", "", node)
        assert attributes.object is not None
        uid, wanted = attributes.object["metadata"]["ownerReferences"][0].get("uid"), found["metadata"]["uid"]
        if uid != wanted:
            raise refused(attributes, f"node {node} UID mismatch: expected {uid} got {wanted}")

    async def _own_pod(self, attributes: Attributes, name: str) -> Object:
        pod = await self._pods.get(attributes.namespace, name)
        if pod is None:
            raise not_found("pods", "", name)
        return pod

    async def _token(self, attributes: Attributes, node: str) -> None:
        """Tokens only for pods of its own."""
        if attributes.operation is not Operation.CREATE or attributes.subresource != "token":
            return
        bound = ((attributes.object or {}).get("spec") or {}).get("boundObjectRef") or {}
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
            raise refused(attributes, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise refused(attributes, "node requested token with a pod binding without a uid")
        pod = await self._own_pod(attributes, bound["name"])
        if bound["uid"] != pod["metadata"]["uid"]:
            raise refused(
                attributes,
                f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if pod["spec"].get("nodeName") != node:
            raise refused(attributes, "node requested token bound to a pod scheduled on a different node")
        await self._audiences.check(attributes, pod)


def _name(attributes: Attributes) -> str:
    metadata = (attributes.object or {}).get("metadata") or {}
    name: str = attributes.name or metadata.get("name", "")
    return name


def _mirror_faults(pod: Object, node: str) -> Iterator[str]:
    metadata, spec = pod["metadata"], pod["spec"]
    if MIRROR not in (metadata.get("annotations") or {}):
        yield f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if spec.get("nodeName") != node:
        yield f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = metadata.get("ownerReferences") or []
    if len(owners) > 1:
        yield f'node "{node}" can only create pods with a single owner reference set to itself'
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        yield f'node "{node}" can only create pods with an owner reference set to itself'
    if not owner.get("controller"):
        yield f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owner.get("blockOwnerDeletion"):
        yield f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if needed := needed_resource(pod):
        yield f'node "{node}" can not create pods that reference {needed}'


def _check_pod_status(attributes: Attributes, node: str) -> None:
    if attributes.operation is not Operation.UPDATE:
        raise refused(attributes, f'unexpected operation "{attributes.operation}"')
    new, old = attributes.object or {}, attributes.old or {}
    if old["spec"].get("nodeName") != node:
        told = "can only update pod status for pods with spec.nodeName set to itself"
        why = f'node "{node}" {told}'
        raise refused(attributes, why)
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise refused(attributes, f'node "{node}" cannot update labels through pod status')
    claims = [(one.get("status") or {}).get("resourceClaimStatuses") or [] for one in (new, old)]
    if claims[0] != claims[1]:
        raise refused(attributes, f'node "{node}" cannot update resource claim statues')
    extended = [(one.get("status") or {}).get("extendedResourceClaimStatus") for one in (new, old)]
    if extended[0] != extended[1]:
        raise refused(attributes, f'node "{node}" cannot update extended resource claim status')


def _check_claim(attributes: Attributes, node: str) -> None:
    if attributes.subresource != "status":
        raise refused(attributes, "may only update PVC status")
    if attributes.operation is not Operation.UPDATE:
        raise refused(attributes, f'unexpected operation "{attributes.operation}"')
    if _comparable(attributes.object or {}) != _comparable(attributes.old or {}):
        told = "is not allowed to update fields other than status.capacity and status.conditions"
        why = f'node "{node}" {told}'
        raise refused(attributes, why)


def _comparable(claim: Object) -> Object:
    """Without what a node may change, and what changes with every write."""
    metadata = {
        name: value
        for name, value in claim["metadata"].items()
        if name not in ("resourceVersion", "managedFields")
    }
    status = {name: value for name, value in (claim.get("status") or {}).items() if name not in CLAIM_STATUS}
    return claim | {"metadata": metadata, "status": status}


def _check_node(attributes: Attributes, node: str) -> None:
    name = _name(attributes)
    if name != node:
        raise refused(attributes, f'node "{node}" is not allowed to modify node "{name}"')
    new, old = attributes.object or {}, attributes.old or {}
    source = (new.get("spec") or {}).get("configSource")
    if attributes.operation is Operation.CREATE:
        if source is not None:
            why = f'node "{node}" is not allowed to create pods with a non-nil configSource'
            raise refused(attributes, why)
        if labels := forbidden_labels(_labels(new), {}):
            why = f'node "{node}" is not allowed to set the following labels: {", ".join(labels)}'
            raise refused(attributes, why)
    elif attributes.operation is Operation.UPDATE:
        before = old.get("spec") or {}
        if source is not None and source != before.get("configSource"):
            why = f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
            raise refused(attributes, why)
        if ((new.get("spec") or {}).get("taints") or []) != (before.get("taints") or []):
            raise refused(attributes, f'node "{node}" is not allowed to modify taints')
        if labels := forbidden_labels(_labels(new), _labels(old)):
            raise refused(attributes, f"is not allowed to modify labels: {', '.join(labels)}")
        if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise refused(attributes, f'node "{node}" is not allowed to modify ownerReferences')


def _labels(node: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = node["metadata"].get("labels") or {}
    return found


def forbidden_labels(new: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    """Labels that differ although a node may not set them."""
    changed = {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    return sorted(name for name in changed if _forbidden(name))


def _forbidden(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return False
    if _within(domain, RESTRICTED):
        return True
    if not _within(domain, "kubernetes.io") and not _within(domain, "k8s.io"):
        return False
    return label not in OWN_LABELS and not any(_within(domain, own) for own in OWN_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _check_lease(attributes: Attributes, node: str) -> None:
    if attributes.namespace != LEASES:
        raise refused(attributes, f'can only access leases in the "{LEASES}" system namespace')
    if _name(attributes) != node:
        raise refused(attributes, "can only access node lease with the same name as the requesting node")


def _check_slice(attributes: Attributes, node: str) -> None:
    """What the authoriser does not see: the object that is created, and each of many that are deleted."""
    verb = {Operation.CREATE: "create", Operation.DELETE: "delete"}.get(attributes.operation)
    found = (attributes.object if attributes.operation is Operation.CREATE else attributes.old) or {}
    if verb and (found.get("spec") or {}).get("nodeName", "") != node:
        why = f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
        raise refused(attributes, why)


def _check_request(attributes: Attributes, node: str) -> None:
    """A node asks for certificates of its own; what else is in them, the signers see to."""
    spec = (attributes.object or {}).get("spec") or {}
    if attributes.operation is not Operation.CREATE or spec.get("signerName") not in NODE_SIGNERS:
        return
    try:
        name = common_name(spec.get("request", ""))
    except ValueError as error:
        raise refused(attributes, f"unable to parse csr: {error}") from error
    if name != f"{USER}{node}":
        raise refused(attributes, f"can only create a node CSR with CN={USER}{node}")

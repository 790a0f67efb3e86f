"""ServiceAccount: every pod runs as a service account that exists, whose token its containers find mounted.

The token comes from a projected volume, which holds the cluster's CA and the pod's namespace as well.
"""

from __future__ import annotations

from kplane.api.errors import not_found
from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, refused

DEFAULT = "default"
MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
"""An hour, and a few seconds by which such tokens are recognised."""
ATTEMPTS = 10
"""Looks for the account named `default`, which a controller is about to make in a new namespace."""


class ServiceAccount:
    name = "ServiceAccount"
    handles = on(Operation.CREATE, to=("pods",))

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context
        self._accounts = context.read("serviceaccounts")

    def admit(self, attributes: Attributes) -> Waiting:
        assert attributes.object is not None
        spec = attributes.object["spec"]
        if _is_mirror(attributes.object):
            return None
        name = spec.get("serviceAccountName") or DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._accounts.known(attributes.namespace, name)
        if account is None:
            return self._look_up_and_give(attributes, name)
        self._give(account, spec)
        return None

    async def _look_up_and_give(self, attributes: Attributes, name: str) -> None:
        assert attributes.object is not None
        self._give(await self._account(attributes, name), attributes.object["spec"])

    def _give(self, account: Object, spec: Object) -> None:
        if should_mount(account, spec):
            self._mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": one["name"]} for one in account["imagePullSecrets"]]

    def validate(self, attributes: Attributes) -> Waiting:
        assert attributes.object is not None
        name = attributes.object["spec"].get("serviceAccountName")
        if _is_mirror(attributes.object):
            _check_mirror(attributes, attributes.object["spec"])
            return None
        if not name:
            raise refused(attributes, "no service account specified for pod ")
        if self._accounts.known(attributes.namespace, name) is None:
            return self._look_up(attributes, name)
        return None

    async def _look_up(self, attributes: Attributes, name: str) -> None:
        await self._account(attributes, name)

    async def _account(self, attributes: Attributes, name: str) -> Object:
        pause = 0.0
        for attempt in range(ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                pause = pause or self._context.entropy.uniform(0.1, 0.2)
                await self._context.clock.sleep(pause)
            found = await self._accounts.get(attributes.namespace, name)
            if found is not None:
                return found
        error = not_found("serviceaccounts", "", name)
        where = f"{attributes.namespace}/{name}"
        # Upstream's client names the singular here.
        why = error.message.replace("serviceaccounts", "serviceaccount", 1)
        raise refused(attributes, f"error looking up service account {where}: {why}")

    def _mount(self, spec: Object) -> None:
        volumes = spec.get("volumes") or []
        known = next((one["name"] for one in volumes if one["name"].startswith(VOLUME_PREFIX)), None)
        name = known or VOLUME_PREFIX + self._context.entropy.suffix(5)
        needed = False
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            mounts = container.get("volumeMounts") or ()
            # A container that mounts something else there is left alone.
            if MOUNT_PATH not in [one.get("mountPath") for one in mounts]:
                container["volumeMounts"] = [
                    *mounts,
                    {"name": name, "readOnly": True, "mountPath": MOUNT_PATH},
                ]
                needed = True
        if needed and known is None:
            spec["volumes"] = [*volumes, token_volume(name)]


def _is_mirror(pod: Object) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or ())


def _check_mirror(attributes: Attributes, spec: Object) -> None:
    if spec.get("serviceAccountName"):
        raise refused(attributes, "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or []:
        sources = (volume.get("projected") or {}).get("sources") or []
        if any(source.get("serviceAccountToken") for source in sources):
            why = "a mirror pod may not use ServiceAccountToken volume projections"
            raise refused(attributes, why)


def should_mount(account: Object, spec: Object) -> bool:
    """What the pod says goes before what its account says."""
    for where in (spec, account):
        if where.get("automountServiceAccountToken") is not None:
            return bool(where["automountServiceAccountToken"])
    return True


def token_volume(name: str) -> Object:
    certificate = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": certificate},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}

"""For whom a node may have tokens of its Pods' accounts: for those whom the Pod itself means.

Such an audience is that of a token that the Pod mounts, or one for which the CSI driver of a volume asks.
Every other one takes the right `request-serviceaccounts-token-audience` on a resource named like it.

Source: plugin/pkg/admission/noderestriction (ServiceAccountNodeAudienceRestriction).
"""

from __future__ import annotations

from kplane.api.resource import Object

from ..http.requestinfo import RequestInfo
from .chain import Attributes
from .context import AdmissionContext, refused

VERB = "request-serviceaccounts-token-audience"


class NodeAudiences:
    def __init__(self, context: AdmissionContext) -> None:
        self._context = context
        self._claims = context.read("persistentvolumeclaims")
        self._volumes = context.read("persistentvolumes")
        self._drivers = context.read("csidrivers", "storage.k8s.io")

    async def check(self, attributes: Attributes, pod: Object) -> None:
        """Of a TokenRequest that is bound to this Pod. Raises Forbidden."""
        audiences = ((attributes.object or {}).get("spec") or {}).get("audiences") or []
        if len(audiences) > 1:
            raise refused(attributes, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        if await self._is_meant(pod, audience):
            return
        info = RequestInfo(
            VERB, "", "", {}, version="v1", namespace=attributes.namespace, resource=audience,
            name=attributes.name,
        )  # fmt: skip
        if await self._context.decide(attributes.user, info):
            return
        raise refused(
            attributes,
            f'audience "{audience}" not found in pod spec volume, {attributes.user.name} is not authorized to'
            " request tokens for this audience",
        )

    async def _is_meant(self, pod: Object, audience: str) -> bool:
        for volume in pod["spec"].get("volumes") or []:
            for source in (volume.get("projected") or {}).get("sources") or []:
                token = source.get("serviceAccountToken")
                if token is not None and token.get("audience", "") == audience:
                    return True
            driver = await self._driver(pod, volume)
            if driver and audience in await self._asked_by(driver):
                return True
        return False

    async def _driver(self, pod: Object, volume: Object) -> str:
        """The CSI driver that provides a volume; empty if none does."""
        meta = pod["metadata"]
        if volume.get("csi"):
            inline: str = volume["csi"].get("driver", "")
            return inline
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if volume.get("ephemeral"):
            name = f"{meta['name']}-{volume.get('name', '')}"
        claim = await self._claims.get(meta["namespace"], name) if name else None
        bound = ((claim or {}).get("spec") or {}).get("volumeName", "")
        found = await self._volumes.get("", bound) if bound else None
        driver: str = (((found or {}).get("spec") or {}).get("csi") or {}).get("driver", "")
        return driver

    async def _asked_by(self, driver: str) -> list[str]:
        found = await self._drivers.get("", driver)
        requests = ((found or {}).get("spec") or {}).get("tokenRequests") or []
        return [request.get("audience", "") for request in requests]

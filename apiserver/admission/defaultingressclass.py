"""DefaultIngressClass: an Ingress that names no class gets the default one."""

from __future__ import annotations

from .chain import Attributes, Operation, on
from .context import AdmissionContext
from .defaultstorageclass import newest_default

GROUP = "networking.k8s.io"
ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass:
    name = "DefaultIngressClass"
    handles = on(Operation.CREATE, to=(f"ingresses.{GROUP}",))

    def __init__(self, context: AdmissionContext) -> None:
        self._classes = context.read("ingressclasses", GROUP)

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        annotations = attributes.object["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or CLASS_ANNOTATION in annotations:
            return
        found = newest_default(await self._classes.list(), (ANNOTATION,))
        if found is not None:
            spec["ingressClassName"] = found["metadata"]["name"]

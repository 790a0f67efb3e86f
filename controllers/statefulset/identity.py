"""Identity: what the Pod of an ordinal is called, how it is labelled, and which claims are its storage.

Owns: names and labels, upstream's. Plain functions; no I/O.

Invariant: all of it follows from the set and the ordinal, so that a replaced Pod comes back as it was.
"""

from __future__ import annotations

import re

from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.apps import StatefulSet

from ..history import POD_LABEL
from ..pods import from_template

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)")
_LARGEST = 2**31 - 1


def start(sts: StatefulSet) -> int:
    """The first ordinal."""
    return sts.spec.ordinals.start if sts.spec.ordinals else 0


def parse(pod_name: str) -> tuple[str, int]:
    """The set's name and the ordinal in a Pod's name; ("", -1) where it has none."""
    match = _NAME.fullmatch(pod_name)
    if match is None or int(match[2]) > _LARGEST:
        return "", -1
    return match[1], int(match[2])


def ordinal_of(pod: Pod) -> int:
    return parse(pod.metadata.name)[1]


def is_member(sts: StatefulSet, pod: Pod) -> bool:
    """Whether the Pod's name is one that this set gives."""
    return parse(pod.metadata.name)[0] == sts.metadata.name


def in_range(sts: StatefulSet, pod: Pod) -> bool:
    """Whether the set should have a Pod of this ordinal."""
    return start(sts) <= ordinal_of(pod) < start(sts) + sts.spec.replicas


def pod_name(sts: StatefulSet, ordinal: int) -> str:
    return f"{sts.metadata.name}-{ordinal}"


def claim_name(sts: StatefulSet, template: Object, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{sts.metadata.name}-{ordinal}"


def revision_of(pod: Pod) -> str:
    """The name of the revision that the Pod was made from; empty if it does not tell."""
    return pod.metadata.labels.get(POD_LABEL, "")


def labels(name: str, ordinal: int) -> dict[str, str]:
    """The labels that every Pod of an ordinal carries."""
    return {POD_NAME_LABEL: name, INDEX_LABEL: str(ordinal)}


def has_identity(pod: Pod) -> bool:
    return labels(pod.metadata.name, ordinal_of(pod)).items() <= pod.metadata.labels.items()


def pod_body(sts: StatefulSet, template: Object, revision: str, ordinal: int) -> Object:
    """The Pod of this ordinal, made from the template of this revision."""
    body = from_template(template, sts)
    name = pod_name(sts, ordinal)
    # The generateName stays, as upstream leaves it: a name goes before it.
    metadata = {**body["metadata"], "name": name}
    metadata["labels"] = {**metadata.get("labels", {}), **labels(name, ordinal), POD_LABEL: revision}
    spec = {**body["spec"], "hostname": name}
    if sts.spec.service_name:
        spec["subdomain"] = sts.spec.service_name
    if volumes := _volumes(sts, spec.get("volumes") or [], ordinal):
        spec["volumes"] = volumes
    return {**body, "metadata": metadata, "spec": spec}


def _volumes(sts: StatefulSet, own: list[Object], ordinal: int) -> list[Object]:
    """A volume for each claim; it takes the place of one that the template has under its name."""
    claims: list[Object] = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(sts, template, ordinal)},
        }
        for template in sts.spec.volume_claim_templates
    ]
    taken = {volume["name"] for volume in claims}
    return claims + [volume for volume in own if volume["name"] not in taken]


def claim_bodies(sts: StatefulSet, ordinal: int) -> list[Object]:
    """The PersistentVolumeClaims of an ordinal."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "annotations": template["metadata"].get("annotations") or {},
                "labels": {
                    **(template["metadata"].get("labels") or {}),
                    **(sts.spec.selector.match_labels or {}),
                },
                "name": claim_name(sts, template, ordinal),
                "namespace": sts.metadata.namespace,
            },
            "spec": template.get("spec", {}),
        }
        for template in sts.spec.volume_claim_templates
    ]

"""Stories of what goes away: all that should, and nothing else."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from kplane.api import bootstraptokens as tokens
from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, Job, Namespace, Node, Pod, Secret
from kplane.controllers.certificates.cleaner import POD_REQUESTS
from kplane.controllers.certificates.request import SigningRequest
from kplane.testing.batch import make_job
from kplane.testing.clock import START
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import (
    CREATED,
    make_configmap,
    make_namespace,
    make_node,
    make_object,
    make_pod,
    make_secret,
    owner_reference,
)

from .scenario import Scenario


def _doom(cluster: FakeCluster, step: int) -> None:
    if step == 1:
        body = make_namespace("doomed", phase="Terminating")
        body["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
        cluster.load(body)
    if step == 3:
        cluster.delete(Pod, Key("doomed", "busy"))


def _left(cluster: FakeCluster) -> Any:
    kinds = (Namespace, ConfigMap, Secret, Pod)
    return [sorted(found.metadata.name for found in cluster.list(kind)) for kind in kinds]  # type: ignore[attr-defined]


NAMESPACE = Scenario(
    controllers=["namespace-controller"],
    objects=lambda: [
        make_namespace(), make_namespace("doomed"), make_configmap("a", "doomed"), make_secret("b", "doomed"),
        make_pod("busy", "doomed", node="node-1"), make_configmap("kept"),
    ],
    world=_doom,
    outcome=_left,
    expected=[["default"], ["kept"], [], []],
)  # fmt: skip


def _thing(name: str, *owners: Object) -> Object:
    body = make_configmap(name)
    body["metadata"]["ownerReferences"] = [owner_reference(owner, controller=False) for owner in owners]
    return body


def _family() -> list[Object]:
    owner, other = _thing("owner"), _thing("other")
    child = _thing("child", owner)
    return [
        make_namespace(), owner, other, child, _thing("grandchild", child), _thing("shared", owner, other),
        _thing("orphan", _thing("nobody")),
    ]  # fmt: skip


def _delete_owner(cluster: FakeCluster, policy: str, step: int) -> None:
    if step == 2:
        body = f'{{"propagationPolicy": "{policy}"}}'.encode()
        cluster.server.handle("DELETE", "/api/v1/namespaces/default/configmaps/owner", {}, body, "")


def _names(cluster: FakeCluster) -> Any:
    return {found.metadata.name: found.metadata.finalizers for found in cluster.list(ConfigMap)}


BACKGROUND = Scenario(
    controllers=["garbage-collector-controller"],
    objects=_family,
    world=lambda cluster, step: _delete_owner(cluster, "Background", step),
    outcome=_names,
    expected={"other": (), "shared": ()},
)

FOREGROUND = Scenario(
    controllers=["garbage-collector-controller"],
    objects=_family,
    world=lambda cluster, step: _delete_owner(cluster, "Foreground", step),
    outcome=_names,
    expected={"other": (), "shared": ()},
)

ORPHAN = Scenario(
    controllers=["garbage-collector-controller"],
    objects=_family,
    world=lambda cluster, step: _delete_owner(cluster, "Orphan", step),
    outcome=_names,
    expected={"other": (), "shared": (), "child": (), "grandchild": ()},
)


def _lose_node(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        cluster.delete(Node, Key("", "node-2"))


POD_GC = Scenario(
    controllers=["pod-garbage-collector-controller"],
    objects=lambda: [
        make_node("node-1"), make_node("node-2"), make_pod("a", node="node-1"), make_pod("b", node="node-2"),
        *(make_pod(f"done-{number}", node="node-1", phase="Succeeded") for number in range(4)),
    ],
    world=_lose_node,
    outcome=lambda cluster: len(cluster.list(Pod)),
    expected=3,
    pace=30,
    options=lambda cluster, folder: {"terminated_pod_gc_threshold": 2},
)  # fmt: skip

DONE: Object = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": CREATED}]}


def _let_go(cluster: FakeCluster, step: int) -> None:
    """As the garbage collector does when nothing blocks a foreground deletion."""
    for job in cluster.list(Job):
        if job.metadata.deletion_timestamp:
            cluster.delete(Job, job.key)


TTL = Scenario(
    controllers=["ttl-after-finished-controller"],
    objects=lambda: [
        make_job("old", ttlSecondsAfterFinished=20, status=DONE), make_job("kept", status=DONE),
        make_job("later", ttlSecondsAfterFinished=10**6, status=DONE),
    ],
    world=_let_go,
    outcome=lambda cluster: sorted(job.metadata.name for job in cluster.list(Job)),
    expected=["kept", "later"],
)  # fmt: skip


def _token(identity: str, *, lives: timedelta) -> Object:
    expiration = rfc3339(START + lives)
    said = tokens.TokenSecret(identity, "0123456789abcdef", expiration=expiration, usages=tokens.USAGES)
    data = {key: base64.b64encode(value.encode()).decode() for key, value in tokens.secret_data(said).items()}
    name = tokens.Token(identity, "0123456789abcdef").secret_name
    return make_object("v1", "Secret", name, "kube-system", type=tokens.SECRET_TYPE, data=data)


TOKEN_CLEANER = Scenario(
    controllers=["token-cleaner-controller"],
    objects=lambda: [
        _token("abcdef", lives=timedelta(seconds=30)),
        _token("zzzzzz", lives=timedelta(days=9)),
    ],
    outcome=lambda cluster: [found.metadata.name for found in cluster.list(Secret)],
    expected=["bootstrap-token-zzzzzz"],
)


def _request(name: str, **status: Any) -> Object:
    spec = {"request": "", "signerName": "example.com/any", "usages": ["client auth"], "username": "jane"}
    return make_object("certificates.k8s.io/v1", "CertificateSigningRequest", name, spec=spec, status=status)


CSR_CLEANER = Scenario(
    controllers=["certificatesigningrequest-cleaner-controller"],
    objects=lambda: [
        _request("denied", conditions=[{"type": "Denied", "status": "True", "lastUpdateTime": CREATED}]),
        _request("pending"),
    ],
    outcome=lambda cluster: [found.metadata.name for found in cluster.list(SigningRequest)],
    expected=["pending"],
    pace=1800,
)


def _of_pod(name: str, created: str) -> Object:
    made = make_object(POD_REQUESTS.api_version, POD_REQUESTS.kind, name, "default", spec={}, status={})
    return made | {"metadata": made["metadata"] | {"creationTimestamp": created}}


def _later_request(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        cluster.load(_of_pod("late", rfc3339(cluster.clock.now())))


POD_CSR_CLEANER = Scenario(
    controllers=["podcertificaterequest-cleaner-controller"],
    objects=lambda: [_of_pod("old", CREATED), _of_pod("young", "2027-01-01T00:00:00Z")],
    world=_later_request,
    outcome=lambda cluster: [found.metadata.name for found in cluster.list(POD_REQUESTS)],
    expected=["young"],
    pace=60,
)

STORIES = {
    "namespace": NAMESPACE,
    "background deletion": BACKGROUND,
    "foreground deletion": FOREGROUND,
    "orphaning": ORPHAN,
    "pod garbage collection": POD_GC,
    "ttl after finished": TTL,
    "bootstrap token cleaner": TOKEN_CLEANER,
    "csr cleaner": CSR_CLEANER,
    "pod certificate requests": POD_CSR_CLEANER,
}

"""An object that makes no sense, however it came to be stored, leaves every other one served: controllers of
storage, policy, certificates, roles and tokens. Those of workloads are in test_bad_input.py."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kplane.api.resource import Key, Object
from kplane.api.scheme import builtin
from kplane.api.types import ConfigMap, Namespace
from kplane.api.types.networking import ServiceCIDR
from kplane.api.types.storage import PersistentVolumeClaim
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.signing import CSRSigningController
from kplane.controllers.clusterroleaggregation import ROLES, ClusterRoleAggregationController
from kplane.controllers.config import Config
from kplane.controllers.resourcequota import ResourceQuotaController
from kplane.controllers.root_ca import RootCAPublisher
from kplane.controllers.servicecidrs import FINALIZER, ServiceCIDRController
from kplane.controllers.storage.binder import VolumeBinder
from kplane.controllers.storage.ephemeral import EphemeralVolumeController
from kplane.controllers.storage.expander import VolumeExpander
from kplane.controllers.validatingadmissionpolicystatus import (
    DEFINITIONS,
    POLICIES,
    ValidatingAdmissionPolicyStatusController,
)
from kplane.runtime import csr, pki
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object, make_pod
from kplane.testing.storage import make_claim, make_volume

QUOTAS = builtin().rows["", "v1", "resourcequotas"].resource
BROKEN: Object = {"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["x"]}]}


async def under(cluster: FakeCluster, make: Callable[..., Any], *objects: Object, config: Any = None) -> None:
    """The objects, under this controller for a minute. The bad ones come first, by name as by time."""
    cluster.load(*objects)
    context = cluster.context(options=config or Config())
    cluster.start(context.queue.run(make(context).reconcile))
    await cluster.advance(60)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(make_volume("a-bad", size="a lot"), id="size-of-a-volume"),
        pytest.param(make_claim("a-bad", size="a lot"), id="size-of-a-claim"),
        pytest.param(make_claim("a-bad", size="a lot", volumeName="disk"), id="size-of-one-by-name"),
        pytest.param(make_claim("a-bad", selector=BROKEN), id="selector-of-a-claim"),
        pytest.param(make_volume("a-bad", policy="Burn", claim=make_claim("gone")), id="reclaim-policy"),
    ],
)
async def test_beside_a_bad_claim_or_volume_the_others_are_bound(cluster: FakeCluster, bad: Object) -> None:
    await under(cluster, VolumeBinder, bad, make_claim(), make_volume())
    found = cluster.get(PersistentVolumeClaim, Key("default", "data"))
    assert found is not None
    assert (found.status.phase, found.spec.volume_name) == ("Bound", "disk")


async def test_a_claim_whose_size_is_none_grows_nowhere(cluster: FakeCluster) -> None:
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    good = make_claim(volumeName="disk", size="2Gi", status=status)
    odd = make_claim("a-bad", volumeName="disk", size="a lot", status=status)
    await under(cluster, VolumeExpander, odd, good, make_volume(claim=good))
    assert [event.involved_object.name for event in cluster.events()] == ["data"]


async def test_beside_a_pod_whose_claim_is_anothers_the_others_get_theirs(cluster: FakeCluster) -> None:
    spec = {"accessModes": ["ReadWriteOnce"]}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]
    pods = [make_pod(name, volumes=volumes) for name in ("a-bad", "web")]
    await under(cluster, EphemeralVolumeController, make_claim("a-bad-v"), *pods)
    assert cluster.get(PersistentVolumeClaim, Key("default", "web-v")) is not None
    [event] = cluster.events()
    assert (event.involved_object.name, event.reason) == ("a-bad", "FailedBinding")


def pod_asking(name: str, cpu: str) -> Object:
    pod = make_pod(name)
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return pod


async def test_a_pod_whose_wish_is_none_is_left_out_of_the_count(cluster: FakeCluster) -> None:
    hard = {"requests.cpu": "9", "pods": "9"}
    meta = {"name": "quota", "namespace": "default"}
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": meta, "spec": {"hard": hard}}
    await under(cluster, ResourceQuotaController, quota, pod_asking("a-bad", "a lot"), pod_asking("b", "2"))
    # It changes, and its end gives something back.
    cluster.load(pod_asking("a-bad", "even more"), pod_asking("c", "1"))
    await cluster.advance(301)
    found = cluster.get(QUOTAS, Key("default", "quota"))
    assert found is not None
    assert found["status"]["used"] == {"requests.cpu": "3", "pods": "2"}


async def test_beside_a_range_that_is_none_the_others_are_ready_and_go(cluster: FakeCluster) -> None:
    def cidr(name: str, *networks: str, **meta: Any) -> Object:
        made = make_object("networking.k8s.io/v1", "ServiceCIDR", name, spec={"cidrs": [*networks]})
        made["metadata"] |= meta
        return made

    labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    await under(
        cluster, ServiceCIDRController, cidr("a-bad", "everywhere"), cidr("good", "10.1.0.0/24"),
        make_object("networking.k8s.io/v1", "IPAddress", "not-an-address", labels=labels, spec={}),
        cidr("going", "10.2.0.0/24", deletionTimestamp="2020-01-01T00:00:00Z", finalizers=[FINALIZER]),
    )  # fmt: skip
    good, going = (cluster.get(ServiceCIDR, Key("", name)) for name in ("good", "going"))
    assert good is not None
    assert [entry.status for entry in good.status.conditions] == ["True"]
    assert going is None or going.metadata.finalizers == ()


async def test_beside_a_role_with_a_bad_selector_the_others_are_gathered(cluster: FakeCluster) -> None:
    def role(name: str, selector: Object | None, **labels: str) -> Object:
        rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}] if selector is None else []
        made = make_object(ROLES.api_version, "ClusterRole", name, labels=labels, rules=rules)
        return made | ({"aggregationRule": {"clusterRoleSelectors": [selector]}} if selector else {})

    good = role("good", {"matchLabels": {"part": "yes"}})
    await under(
        cluster, ClusterRoleAggregationController, role("a-bad", BROKEN), good, role("p", None, part="yes")
    )
    found = cluster.get(ROLES, Key("", "good"))
    assert found is not None
    assert len(found["rules"]) == 1


async def test_beside_a_definition_that_is_none_policies_are_checked(cluster: FakeCluster) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
    validations = [{"expression": "object.spec.replica > 1"}]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    await under(
        cluster, ValidatingAdmissionPolicyStatusController,
        make_object(
            DEFINITIONS.api_version, DEFINITIONS.kind, "a-bad",
            spec={"versions": [{"served": True, "schema": {"openAPIV3Schema": {}}}]},
        ),
        make_object(POLICIES.api_version, POLICIES.kind, "good", spec=spec),
    )  # fmt: skip
    found = cluster.get(POLICIES, Key("", "good"))
    assert found is not None
    assert len(found["status"]["typeChecking"]["expressionWarnings"]) == 1


async def test_beside_a_request_that_is_none_the_others_are_signed(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    pki.ensure(tmp_path, server_names=["kubernetes"], server_ips=[], clock=cluster.clock)
    signer = "kubernetes.io/kube-apiserver-client"
    config = Config(signing_files={signer: (tmp_path / "ca.crt", tmp_path / "ca.key")})
    approved = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]}

    def request(name: str, pem: bytes) -> Object:
        spec = {
            "request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]
        }  # fmt: skip
        kind = "CertificateSigningRequest"
        return make_object("certificates.k8s.io/v1", kind, name, spec=spec, status=approved)

    good = csr.request_pem(csr.new_key(), csr.subject("somebody", ()))
    await under(
        cluster, CSRSigningController, request("a-bad", b"nonsense"), request("good", good), config=config
    )
    found = cluster.get(SigningRequest, Key("", "good"))
    assert found is not None
    assert found.status.certificate


async def test_beside_a_namespace_that_takes_nothing_the_others_get_the_authority(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_text("an authority")
    full = make_object("v1", "ConfigMap", "kube-root-ca.crt", "a-bad", data={"ca.crt": "an authority"})
    full["metadata"] |= {"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["x"]}
    spaces = [make_object("v1", "Namespace", name) for name in ("a-bad", "good")]
    await under(cluster, RootCAPublisher, full, *spaces, config=Config(root_ca_file=tmp_path / "ca.crt"))
    assert len(cluster.list(Namespace)) == 2
    assert cluster.get(ConfigMap, Key("good", "kube-root-ca.crt")) is not None

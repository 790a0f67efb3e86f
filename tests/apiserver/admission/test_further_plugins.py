"""Owners, images, tolerations, namespaces that make themselves, trust and resizes, through HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplane.apiserver.admission.podtolerationrestriction import merged
from kplane.apiserver.admission.registry import DEFAULT_ON, ORDER, PLUGINS
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.process import Fatal

from ..conftest import Api, configmap, pod
from ..webhookserver import Received, Reply, WebhookServer

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"


Started = Callable[..., AbstractAsyncContextManager[tuple[Api, Api]]]


@pytest.fixture
def started(config: ApiServerConfig, tmp_path: Path) -> Started:
    """A server with RBAC, one more plug-in and perhaps its configuration: as administrator, and as somebody
    who may do what the rules say."""

    @asynccontextmanager
    async def start(
        plugin: str = "", settings: Any = None, rules: Any = ()
    ) -> AsyncIterator[tuple[Api, Api]]:
        file = tmp_path / "admission.yaml"
        plugins = [{"name": plugin, "configuration": settings}] if settings else []
        kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
        file.write_text(json.dumps(kind | {"plugins": plugins}))
        changed = replace(
            config,
            enable_admission_plugins=(plugin,) if plugin else (),
            admission_control_config_file=file,
            authorization=AuthorizationSettings(modes=("RBAC",)),
        )
        async with ApiServer(changed) as server:
            admin = Api(server.app)
            meta = {"metadata": {"name": "some"}}
            await admin.make(f"{RBAC}/clusterroles", meta | {"rules": list(rules)})
            subjects = [{"kind": "User", "name": "someone", "apiGroup": "rbac.authorization.k8s.io"}]
            role = {"kind": "ClusterRole", "name": "some", "apiGroup": "rbac.authorization.k8s.io"}
            await admin.make(f"{RBAC}/clusterrolebindings", meta | {"roleRef": role, "subjects": subjects})
            yield admin, Api(server.app, "plain")

    return start


def rule(resources: str, verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()} | more


def test_every_plugin_exists_and_upstreams_defaults_are_on() -> None:
    made_elsewhere = {
        "NamespaceLifecycle",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
    }

    assert PLUGINS.keys() | made_elsewhere == set(ORDER)
    assert all(PLUGINS[name].name == name for name in PLUGINS)
    assert set(ORDER) - DEFAULT_ON == {
        "AlwaysAdmit",
        "AlwaysDeny",
        "AlwaysPullImages",
        "DenyServiceExternalIPs",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "ImagePolicyWebhook",
        "LimitPodHardAntiAffinityTopology",
        "NamespaceAutoProvision",
        "NamespaceExists",
        "NodeRestriction",
        "OwnerReferencesPermissionEnforcement",
        "PodNodeSelector",
        "PodTolerationRestriction",
    }


async def test_plugins_of_features_that_do_not_exist_are_known_by_name(config: ApiServerConfig) -> None:
    names = ("PodGroupProtection", "JobValidation")
    async with ApiServer(replace(config, enable_admission_plugins=names)) as server:
        assert set(names) <= {plugin.name for plugin in server.admission.plugins}


async def test_a_namespace_is_made_for_what_is_created_in_it(started: Started) -> None:
    async with started("NamespaceAutoProvision") as (admin, _):
        path = "/api/v1/namespaces/new/configmaps"
        assert (await admin("POST", path, configmap(), dryRun="All")).code == 404
        assert (await admin("POST", path, configmap())).code == 201

        assert (await admin("GET", "/api/v1/namespaces/new")).body["status"]["phase"] == "Active"


OWNER = "OwnerReferencesPermissionEnforcement"


def owned(**more: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": "u"} | more
    return {"metadata": {"name": "settings", "ownerReferences": [reference]}, "data": {}}


@pytest.mark.parametrize(
    ("verbs", "finalizers", "reference", "message"),
    [
        pytest.param(
            "create", "", {}, "cannot set an ownerRef on a resource you can't delete: , <nil>", id="no delete"
        ),
        pytest.param("create delete", "", {}, "", id="delete"),
        pytest.param(
            "create delete",
            "",
            {"blockOwnerDeletion": True},
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
            "finalizers on: , <nil>",
            id="blocking",
        ),
        pytest.param(
            "create delete", "update", {"blockOwnerDeletion": True}, "", id="blocking with permission"
        ),
        pytest.param(
            "create delete",
            "",
            {"blockOwnerDeletion": True, "apiVersion": "acme.io/v1", "kind": "Thing"},
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
            'acme.io/v1 Kind Thing: no matches for kind "Thing" in version "acme.io/v1"',
            id="unknown kind",
        ),
    ],
)
async def test_who_sets_owners_must_have_the_rights(
    started: Started, verbs: str, finalizers: str, reference: dict[str, Any], message: str
) -> None:
    rules = [rule("configmaps", verbs)]
    if finalizers:
        rules.append(rule("replicasets/finalizers", finalizers, "apps"))
    async with started(OWNER, rules=rules) as (_, someone):
        answer = await someone("POST", MAPS, owned(**reference))

    assert answer.code == (403 if message else 201)
    if message:
        assert answer.body["message"] == f'configmaps "settings" is forbidden: {message}'


async def test_an_update_that_leaves_the_owners_needs_no_right(started: Started) -> None:
    async with started(OWNER, rules=[rule("configmaps", "get update")]) as (admin, someone):
        made = await admin.make(MAPS, owned(blockOwnerDeletion=True))
        path = f"{MAPS}/settings"
        changed = await someone("PUT", path, made | {"data": {"a": "b"}})
        metadata = {key: made["metadata"][key] for key in ("name", "namespace")}
        orphaned = await someone("PUT", path, {"metadata": metadata, "data": {}})

    assert (changed.code, orphaned.code) == (200, 403)


TOLERATION = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}


def tolerant(**annotations: Any) -> dict[str, Any]:
    prefix = "scheduler.alpha.kubernetes.io/"
    notes = {f"{prefix}{key}": json.dumps(value) for key, value in annotations.items()}
    return {"metadata": {"name": "n", "annotations": notes}}


def own_tolerations(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in made["spec"]["tolerations"] if one["effect"] == "NoSchedule"]


async def test_pods_get_the_tolerations_of_their_namespace(started: Started) -> None:
    async with started("PodTolerationRestriction") as (admin, _):
        await admin.make("/api/v1/namespaces", tolerant(defaultTolerations=[TOLERATION]))
        own = {"key": "disk", "operator": "Equal", "value": "ssd", "effect": "NoSchedule"}
        made = await admin.make("/api/v1/namespaces/n/pods", pod(tolerations=[own]))

    assert own_tolerations(made) == [TOLERATION, own]


async def test_pods_that_ask_for_resources_tolerate_pressure_on_memory(started: Started) -> None:
    async with started("PodTolerationRestriction") as (admin, _):
        await admin.make("/api/v1/namespaces", tolerant(defaultTolerations=[]))
        container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": "1"}}}
        made = await admin.make("/api/v1/namespaces/n/pods", pod(containers=[container]))

    assert own_tolerations(made) == [
        {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(
    ("annotations", "settings", "scope"),
    [
        pytest.param({"tolerationsWhitelist": [TOLERATION]}, None, "namespace", id="namespace"),
        pytest.param({}, {"whitelist": [TOLERATION]}, "cluster", id="cluster"),
        pytest.param({"tolerationsWhitelist": []}, {"whitelist": [TOLERATION]}, "", id="overridden"),
    ],
)
async def test_pods_have_no_other_tolerations_than_they_may(
    started: Started, annotations: dict[str, Any], settings: Any, scope: str
) -> None:
    async with started("PodTolerationRestriction", settings) as (admin, _):
        await admin.make("/api/v1/namespaces", tolerant(**annotations))
        other = TOLERATION | {"key": "disk"}
        answer = await admin("POST", "/api/v1/namespaces/n/pods", pod(tolerations=[other]))

    assert answer.code == (500 if scope else 201)
    if scope:
        assert answer.body["message"] == (
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
            f"{scope} whitelist"
        )


def test_a_toleration_that_another_covers_is_dropped() -> None:
    everything = {"operator": "Exists"}
    narrow = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}
    brief = narrow | {"tolerationSeconds": 5}

    assert merged([narrow, everything]) == [everything]
    assert merged([everything, narrow]) == [everything]
    assert merged([brief, narrow]) == [narrow]
    assert merged([narrow, dict(narrow)]) == [narrow]
    assert merged([narrow, narrow | {"value": "c"}]) == [narrow, narrow | {"value": "c"}]


async def test_tolerations_that_cannot_be_read_are_told(started: Started) -> None:
    async with started("PodTolerationRestriction") as (admin, _):
        annotations = {"scheduler.alpha.kubernetes.io/defaultTolerations": "{"}
        await admin.make("/api/v1/namespaces", {"metadata": {"name": "n", "annotations": annotations}})

        assert (await admin("POST", "/api/v1/namespaces/n/pods", pod())).code == 500


class Images:
    """An image policy server that says what a test wants."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"allowed": True}
        self.code = 200
        self.asked: list[Any] = []

    async def __call__(self, received: Received) -> Reply:
        self.asked.append(received.body)
        return Reply(self.code, json.dumps(received.body | {"status": self.status}).encode())


@asynccontextmanager
async def image_policy(
    started: Started, tmp_path: Path, **settings: Any
) -> AsyncIterator[tuple[Api, Images]]:
    images = Images()
    async with WebhookServer(tmp_path / "pki", images) as server:
        cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority-data": server.bundle}
        path = tmp_path / "images.yaml"
        content = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "x", "context": {"cluster": "c"}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(content))
        policy = {"kubeConfigFile": str(path)} | settings
        async with started("ImagePolicyWebhook", {"imagePolicy": policy}) as (admin, _):
            yield admin, images


async def test_images_are_reviewed_and_answers_kept(started: Started, tmp_path: Path) -> None:
    async with image_policy(started, tmp_path) as (admin, images):
        body = pod()
        body["metadata"]["annotations"] = {"my.image-policy.k8s.io/ticket": "1", "other": "2"}
        await admin.make(PODS, body)
        again = pod("again")
        again["metadata"]["annotations"] = body["metadata"]["annotations"]
        await admin.make(PODS, again)

    (review,) = images.asked
    assert (review["kind"], review["apiVersion"]) == ("ImageReview", "imagepolicy.k8s.io/v1alpha1")
    assert review["spec"] == {
        "containers": [{"image": "web:1"}],
        "annotations": {"my.image-policy.k8s.io/ticket": "1"},
        "namespace": "default",
    }


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("unsigned", "image policy webhook backend denied one or more images: unsigned"),
        ("", "one or more images rejected by webhook backend"),
    ],
)
async def test_images_that_are_not_allowed_are_refused(
    started: Started, tmp_path: Path, reason: str, message: str
) -> None:
    async with image_policy(started, tmp_path) as (admin, images):
        images.status = {"allowed": False, "reason": reason}
        answer = await admin("POST", PODS, pod())

    assert (answer.code, answer.body["message"]) == (403, f'pods "web" is forbidden: {message}')


@pytest.mark.parametrize(("default", "code"), [(True, 201), (False, 403)])
async def test_a_policy_server_that_fails_counts_as_configured(
    started: Started, tmp_path: Path, default: bool, code: int
) -> None:
    async with image_policy(started, tmp_path, defaultAllow=default) as (admin, images):
        images.code = 403
        answer = await admin("POST", PODS, pod())

    assert answer.code == code
    if default:
        assert answer.body["metadata"]["annotations"] == {"alpha.image-policy.k8s.io/failed-open": "true"}


async def test_a_configuration_that_cannot_be_used_stops_the_server(started: Started) -> None:
    with pytest.raises(Fatal, match="kubeConfigFile"):
        async with started("ImagePolicyWebhook"):
            pass


@pytest.mark.parametrize(("names", "code"), [(["acme.com/*"], 201), (["acme.com/one"], 201), ([], 403)])
async def test_who_publishes_trust_for_a_signer_must_attest_for_it(
    started: Started, tmp_path: Path, names: list[str], code: int
) -> None:
    pki.ensure(tmp_path / "pki", server_names=[], server_ips=[])
    certificate = (tmp_path / "pki" / "ca.crt").read_text()
    rules = [rule("clustertrustbundles", "create", "certificates.k8s.io")]
    if names:
        rules.append(rule("signers", "attest", "certificates.k8s.io", resourceNames=names))
    async with started(rules=rules) as (_, someone):
        spec = {"signerName": "acme.com/one", "trustBundle": certificate}
        answer = await someone("POST", BUNDLES, {"metadata": {"name": "acme.com:one:a"}, "spec": spec})

    assert answer.code == code, answer.body["message"]
    if code == 403:
        assert answer.body["message"].endswith('user not permitted to attest for signerName "acme.com/one"')


async def resized(admin: Api, node: dict[str, Any] | None, **requests: str) -> Any:
    if node is not None:
        status = node.pop("status")
        made = await admin.make("/api/v1/nodes", node)
        await admin("PUT", "/api/v1/nodes/n/status", made | {"status": made["status"] | status})
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}
    await admin.make(PODS, pod(containers=[container], nodeName="n"))
    change = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}
    kind = "application/strategic-merge-patch+json"
    return await admin("PATCH", f"{PODS}/web/resize", change, content_type=kind)


def node(**labels: str) -> dict[str, Any]:
    allocatable = {"cpu": "4", "memory": "1Gi", "pods": "10"}
    return {
        "metadata": {"name": "n", "labels": {key.replace("_", "/"): value for key, value in labels.items()}},
        "status": {"allocatable": allocatable, "capacity": allocatable},
    }


@pytest.mark.parametrize(
    ("there", "requests", "message"),
    [
        pytest.param(node(**{"kubernetes.io_os": "linux"}), {"cpu": "3"}, "", id="fits"),
        pytest.param(
            node(**{"kubernetes.io_os": "linux"}),
            {"cpu": "4500m", "memory": "2Gi"},
            "Node didn't have enough allocatable resources: cpu, requested: 4500, allocatable: 4000; memory, "
            "requested: 2147483648, allocatable: 1073741824",
            id="too much",
        ),
        pytest.param(
            node(), {"cpu": "2"}, 'pod resize is only supported on linux nodes, node "n" is ""', id="system"
        ),
        pytest.param(None, {"cpu": "2"}, 'node "n" not found', id="no node"),
    ],
)
async def test_a_resize_stays_within_the_node(
    api: Api, there: dict[str, Any] | None, requests: dict[str, str], message: str
) -> None:
    answer = await resized(api, json.loads(json.dumps(there)), **requests)

    assert answer.code == (403 if message else 200), answer.body
    if message:
        assert answer.body["message"] == f'pods "web" is forbidden: {message}'

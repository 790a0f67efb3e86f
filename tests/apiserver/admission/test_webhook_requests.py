"""What a webhook is asked, and which requests it is asked about."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap, deployment, pod
from .conftest import VALIDATING, Hooks, labelled, rule

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


async def test_a_review_says_everything_about_a_creation(api: Api, hooks: Hooks) -> None:
    await hooks.validating(hooks.webhook())

    await api("POST", CONFIGMAPS, configmap(), fieldManager="me")

    [asked] = hooks.requests("hook")
    assert len(asked.pop("uid")) == 36
    obj = asked.pop("object")
    assert (obj["kind"], obj["apiVersion"], obj["data"]) == ("ConfigMap", "v1", {"color": "blue"})
    assert obj["metadata"]["uid"]
    assert asked == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "settings",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]},
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"},
    }


async def test_updates_and_deletions_carry_the_old_object_and_their_options(api: Api, hooks: Hooks) -> None:
    await api.make(CONFIGMAPS, configmap())
    await hooks.validating(hooks.webhook())

    await api("PATCH", f"{CONFIGMAPS}/settings", {"data": {"color": "red"}}, content_type=MERGE)
    await api("DELETE", f"{CONFIGMAPS}/settings", {"gracePeriodSeconds": 0}, dryRun="All")

    update, delete = hooks.requests("hook")
    assert update["operation"] == "UPDATE"
    assert (update["object"]["data"], update["oldObject"]["data"]) == ({"color": "red"}, {"color": "blue"})
    assert update["options"]["kind"] == "UpdateOptions"
    assert delete["operation"] == "DELETE"
    assert (delete["object"], delete["oldObject"]["data"]) == (None, {"color": "red"})
    assert delete["options"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "gracePeriodSeconds": 0,
    }


async def test_each_object_of_a_deleted_collection_is_reviewed(api: Api, hooks: Hooks) -> None:
    for name in ("a", "b"):
        await api.make(CONFIGMAPS, configmap(name))
    await hooks.validating(hooks.webhook())

    await api("DELETE", CONFIGMAPS)

    asked = hooks.requests("hook")
    assert [(one["operation"], one["name"]) for one in asked if one["name"] in "ab"] == [
        ("DELETE", "a"),
        ("DELETE", "b"),
    ]


async def test_a_generated_name_is_not_known_to_mutating_webhooks(api: Api, hooks: Hooks) -> None:
    await hooks.mutating(hooks.webhook("before"))
    await hooks.validating(hooks.webhook("after"))

    made = await api.make(CONFIGMAPS, {"metadata": {"generateName": "gen-"}})

    [before], [after] = hooks.requests("before"), hooks.requests("after")
    assert "name" not in before
    assert "name" not in before["object"]["metadata"]
    assert after["object"]["metadata"]["name"] == made["metadata"]["name"]


async def test_a_scale_is_reviewed_as_a_scale(api: Api, hooks: Hooks) -> None:
    await api.make(DEPLOYMENTS, deployment())
    await hooks.mutating(hooks.webhook(rules=[rule("deployments/scale")]))
    await hooks.validating(hooks.webhook("all", rules=[rule("deployments/*")]))

    await api("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}}, content_type=MERGE)

    for path in ("hook", "all"):
        [asked] = hooks.requests(path)
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert asked["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
        assert (asked["subResource"], asked["requestSubResource"]) == ("scale", "scale")
        assert asked["object"]["spec"] == {"replicas": 3}
        assert asked["oldObject"]["spec"] == {"replicas": 1}


async def test_bindings_and_evictions_are_reviewed_as_creations(api: Api, hooks: Hooks) -> None:
    await api.make(PODS, pod())
    await hooks.validating(hooks.webhook(rules=[rule("pods/* pods")]))

    await api("POST", f"{PODS}/web/binding", {"metadata": {"name": "web"}, "target": {"name": "n1"}})
    await api("POST", f"{PODS}/web/eviction", {"metadata": {"name": "web"}})

    asked = [(one["operation"], one["kind"]["kind"], one["subResource"]) for one in hooks.requests("hook")]
    assert asked == [("CREATE", "Binding", "binding"), ("CREATE", "Eviction", "eviction")]


async def test_a_connection_is_reviewed_with_its_options(api: Api, hooks: Hooks) -> None:
    await api.make(PODS, pod())
    await hooks.validating(hooks.webhook(rules=[rule("pods/exec", "CONNECT")]))

    await api("GET", f"{PODS}/web/exec", command="ls", stdin="true", container="c")

    [asked] = hooks.requests("hook")
    assert (asked["operation"], asked["name"], asked["subResource"]) == ("CONNECT", "web", "exec")
    assert asked["object"] == {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        "stdin": True,
        "stdout": True,
        "stderr": True,
        "container": "c",
        "command": ["ls"],
    }
    assert (asked["oldObject"], asked["options"]) == (None, None)


@pytest.mark.parametrize(
    ("rules", "met"),
    [
        pytest.param(rule(), True, id="all"),
        pytest.param(rule("*"), True, id="any-resource"),
        pytest.param(rule("*/*"), True, id="any-subresource"),
        pytest.param(rule("configmaps/*"), True, id="own-subresources-too"),
        pytest.param(rule("configmaps/status"), False, id="subresource-only"),
        pytest.param(rule("secrets"), False, id="another-resource"),
        pytest.param(rule(operations="UPDATE DELETE"), False, id="another-operation"),
        pytest.param(rule(apiGroups=["apps"]), False, id="another-group"),
        pytest.param(rule(apiVersions=["v2"]), False, id="another-version"),
        pytest.param(rule(scope="Namespaced"), True, id="namespaced"),
        pytest.param(rule(scope="Cluster"), False, id="cluster"),
    ],
)
async def test_rules(api: Api, hooks: Hooks, rules: dict[str, Any], met: bool) -> None:
    await hooks.validating(hooks.webhook(rules=[rules]))

    await api.make(CONFIGMAPS, configmap())

    assert bool(hooks.asked) is met


async def test_namespaces_are_of_the_cluster_and_selected_by_their_own_labels(api: Api, hooks: Hooks) -> None:
    chosen = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    await hooks.validating(hooks.webhook(rules=[rule("namespaces", scope="Cluster")], **chosen))

    await api.make("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await api.make("/api/v1/namespaces", {"metadata": {"name": "mine", "labels": {"team": "a"}}})
    await api("DELETE", "/api/v1/namespaces/mine")

    asked = [(one["operation"], one["name"], one["namespace"]) for one in hooks.requests("hook")]
    assert asked == [("CREATE", "mine", "mine"), ("DELETE", "mine", "mine")]


async def test_selectors_look_at_the_namespace_and_at_the_new_and_the_old_object(
    api: Api, hooks: Hooks
) -> None:
    await api.make("/api/v1/namespaces", {"metadata": {"name": "mine", "labels": {"team": "a"}}})
    await hooks.validating(
        hooks.webhook("space", namespaceSelector={"matchLabels": {"team": "a"}}),
        hooks.webhook("object", objectSelector={"matchExpressions": [{"key": "pick", "operator": "Exists"}]}),
    )

    await api.make(CONFIGMAPS, configmap())
    assert not hooks.asked

    await api.make("/api/v1/namespaces/mine/configmaps", configmap())
    assert [path for path, _ in hooks.asked] == ["space"]

    picked = configmap("picked") | {"metadata": {"name": "picked", "labels": {"pick": "me"}}}
    await api.make(CONFIGMAPS, picked)
    await api("PUT", f"{CONFIGMAPS}/picked", configmap("picked"))
    await api("PUT", f"{CONFIGMAPS}/picked", configmap("picked", color="red"))
    assert [one["operation"] for one in hooks.requests("object")] == ["CREATE", "UPDATE"]


async def test_match_policy_equivalent_converts_to_the_version_of_the_rule(api: Api, hooks: Hooks) -> None:
    row = rule("horizontalpodautoscalers", apiGroups=["autoscaling"], apiVersions=["v1"])
    await hooks.mutating(
        hooks.webhook("same", rules=[row], matchPolicy="Equivalent"),
        hooks.webhook("exact", rules=[row], matchPolicy="Exact"),
    )
    hooks.answer("same", labelled("seen"))
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }

    made = await api.make(
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec},
    )

    [asked] = hooks.requests("same")
    assert not hooks.requests("exact")
    assert asked["resource"]["version"] == asked["kind"]["version"] == "v1"
    assert asked["requestResource"]["version"] == asked["requestKind"]["version"] == "v2"
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 70
    assert made["apiVersion"] == "autoscaling/v2"
    assert made["metadata"]["labels"] == {"app": "web", "seen": "yes"}
    assert made["spec"]["metrics"] == spec["metrics"]


async def test_admission_configuration_and_reviews_are_never_asked_about(api: Api, hooks: Hooks) -> None:
    everything = [rule("*/*")]
    await hooks.mutating(hooks.webhook("m", rules=everything))
    await hooks.validating(hooks.webhook("v", rules=everything))

    await hooks.validating(hooks.webhook("other", rules=[rule("secrets")]), name="second")
    await api("DELETE", f"{VALIDATING}/second")
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)

    # The server itself registers its API groups meanwhile.
    groups = {request["resource"]["group"] for _, request in hooks.asked}
    assert groups <= {"apiregistration.k8s.io"}


async def test_v1beta1_reviews_for_those_who_speak_nothing_else(api: Api, hooks: Hooks) -> None:
    await hooks.validating(hooks.webhook(admissionReviewVersions=["v9", "v1beta1", "v1"]))

    await api.make(CONFIGMAPS, configmap())

    assert hooks.server.received[0].body["apiVersion"] == "admission.k8s.io/v1beta1"


async def test_a_change_of_the_configuration_is_in_effect_at_once(api: Api, hooks: Hooks) -> None:
    await hooks.validating(hooks.webhook())
    await api.make(CONFIGMAPS, configmap("a"))
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/resources", "value": ["secrets"]}]

    await api("PATCH", f"{VALIDATING}/v", patch, content_type="application/json-patch+json")
    await hooks.settled(VALIDATING, "v")
    await api.make(CONFIGMAPS, configmap("b"))

    assert [one["name"] for one in hooks.requests("hook")] == ["a"]

"""MutatingAdmissionPolicy, through HTTP: what is made of an object, in which order, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap, deployment, pod
from ..extensions.conftest import established
from .policies import Policies, rules

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"


def configuration(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def json_patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def labelled(**labels: str) -> dict[str, Any]:
    pairs = ", ".join(f"'{name}': '{value}'" for name, value in labels.items())
    return configuration(f"Object{{metadata: Object.metadata{{labels: {{{pairs}}}}}}}")


def appended(text: str) -> dict[str, Any]:
    """Appends to the `log` of a ConfigMap."""
    return configuration(f"Object{{data: {{'log': object.data.?log.orValue('') + '{text}'}}}}")


async def log(api: Api) -> str:
    made = await api.make(CONFIGMAPS, configmap(log=""))
    return str(made["data"]["log"])


async def test_an_apply_configuration_is_merged_into_the_object(api: Api, policies: Policies) -> None:
    sidecar = 'Object.spec.template.spec.containers{name: "sidecar", image: "helper:1"}'
    template = f"Object.spec.template{{spec: Object.spec.template.spec{{containers: [{sidecar}]}}}}"
    await policies.mutating(
        "sidecar",
        configuration(f"Object{{spec: Object.spec{{template: {template}}}}}"),
        matchConstraints=rules("deployments"),
    )
    made = await api.make(DEPLOYMENTS, deployment())
    containers = made["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in containers] == ["c", "sidecar"]
    # Defaults are filled in once more.
    assert containers[1]["terminationMessagePolicy"] == "File"


async def test_a_json_patch_is_applied(api: Api, policies: Policies) -> None:
    await policies.mutating(
        "mark",
        json_patch(
            '[JSONPatch{op: "add", path: "/metadata/labels", value: {"a/b": "c"}},'
            ' JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y"), value: "z"}]'
        ),
    )
    made = await api.make(CONFIGMAPS, configmap())
    assert made["metadata"]["labels"] == {"a/b": "c", "x/y": "z"}


async def test_objects_are_values_of_json_patches(api: Api, policies: Policies) -> None:
    value = 'Object.spec.template.spec.containers{name: "extra", image: "i"}'
    path = "/spec/template/spec/containers/-"
    await policies.mutating(
        "extra",
        json_patch(f'[JSONPatch{{op: "add", path: "{path}", value: {value}}}]'),
        matchConstraints=rules("deployments"),
    )
    made = await api.make(DEPLOYMENTS, deployment())
    assert [entry["name"] for entry in made["spec"]["template"]["spec"]["containers"]] == ["c", "extra"]


async def test_a_failed_test_leaves_the_object_as_it_is(api: Api, policies: Policies) -> None:
    operations = (
        '[JSONPatch{op: "test", path: "/data/color", value: "red"},'
        ' JSONPatch{op: "replace", path: "/data/color", value: "green"}]'
    )
    await policies.mutating("careful", json_patch(operations))
    blue, red = [await api.make(CONFIGMAPS, configmap(color, color=color)) for color in ("blue", "red")]
    assert [blue["data"]["color"], red["data"]["color"]] == ["blue", "green"]


async def test_mutations_follow_each_other(api: Api, policies: Policies) -> None:
    await policies.mutating("b", appended("3"))
    await policies.mutating("a", appended("1"), appended("2"))
    assert await log(api) == "123"


async def test_policies_see_what_others_have_made(api: Api, policies: Policies) -> None:
    conditions = [{"name": "labelled", "expression": "has(object.metadata.labels)"}]
    await policies.mutating("a", labelled(a="b"))
    await policies.mutating("b", appended("seen"), matchConditions=conditions)
    assert await log(api) == "seen"


async def test_if_needed_means_a_second_time_and_no_third(api: Api, policies: Policies) -> None:
    await policies.mutating("a", appended("1"), reinvocationPolicy="IfNeeded")
    await policies.mutating("b", appended("2"))
    assert await log(api) == "121"


async def test_if_needed_is_a_second_time_even_for_one_alone(api: Api, policies: Policies) -> None:
    await policies.mutating("a", appended("1"), reinvocationPolicy="IfNeeded")
    assert await log(api) == "11"


async def test_never_means_once(api: Api, policies: Policies) -> None:
    await policies.mutating("a", appended("1"))
    await policies.mutating("b", appended("2"))
    assert await log(api) == "12"


async def test_variables_and_parameters_and_namespaces_are_seen(api: Api, policies: Policies) -> None:
    await api.make(CONFIGMAPS, configmap("params", text="from params"))
    await policies.mutating(
        "all",
        configuration(
            "Object{metadata: Object.metadata{annotations: {'text': variables.text,"
            " 'namespace': namespaceObject.metadata.name,"
            " 'may': string(authorizer.requestResource.check('create').allowed())}}}"
        ),
        matchConstraints=rules("secrets"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "text", "expression": "params.data.text + '!'"}],
        binding={"paramRef": {"name": "params", "parameterNotFoundAction": "Deny"}},
    )
    made = await api.make("/api/v1/namespaces/default/secrets", {"metadata": {"name": "x"}})
    assert made["metadata"]["annotations"] == {
        "text": "from params!",
        "namespace": "default",
        "may": "true",
    }


async def test_each_selected_parameter_mutates(api: Api, policies: Policies) -> None:
    for name in ("p1", "p2"):
        body = configmap(name)
        body["metadata"]["labels"] = {"role": "param"}
        await api.make(CONFIGMAPS, body)
    selector = {"selector": {"matchLabels": {"role": "param"}}, "parameterNotFoundAction": "Deny"}
    await policies.mutating(
        "each",
        configuration("Object{metadata: Object.metadata{labels: {params.metadata.name: 'x'}}}"),
        matchConstraints=rules("secrets"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": selector},
    )
    made = await api.make("/api/v1/namespaces/default/secrets", {"metadata": {"name": "x"}})
    assert made["metadata"]["labels"] == {"p1": "x", "p2": "x"}


async def test_updates_are_mutated_and_deletions_are_not(api: Api, policies: Policies) -> None:
    await api.make(CONFIGMAPS, configmap())
    await policies.mutating("mark", labelled(seen="yes"), matchConstraints=rules(operations="*"))
    changed = await api("PUT", f"{CONFIGMAPS}/settings", configmap(color="red"))
    assert changed.body["metadata"]["labels"] == {"seen": "yes"}
    assert (await api("DELETE", f"{CONFIGMAPS}/settings")).code == 200


async def test_what_is_mutated_is_validated(api: Api, policies: Policies) -> None:
    await policies.mutating("bad", labelled(a="not a label"))
    answer = await api("POST", CONFIGMAPS, configmap())
    assert answer.code == 422
    assert 'metadata.labels: Invalid value: "not a label"' in answer.body["message"]


async def test_validating_policies_see_what_was_mutated(api: Api, policies: Policies) -> None:
    await policies.mutating("mark", labelled(a="b"))
    await policies.validating("marked", {"expression": "object.metadata.labels.a == 'b'"})
    await api.make(CONFIGMAPS, configmap())


async def test_another_version_is_mutated_as_the_rule_says(api: Api, policies: Policies) -> None:
    constraints = rules("horizontalpodautoscalers")
    constraints["resourceRules"][0]["apiVersions"] = ["v1"]
    await policies.mutating(
        "target",
        configuration("Object{spec: Object.spec{targetCPUUtilizationPercentage: 41}}"),
        configuration(
            "Object{spec: Object.spec{targetCPUUtilizationPercentage:"
            " object.spec.targetCPUUtilizationPercentage + 1}}"
        ),
        matchConstraints=constraints,
    )
    reference = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    scaler = {"metadata": {"name": "x"}, "spec": {"maxReplicas": 3, "scaleTargetRef": reference}}
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    made = await api.make(path, scaler)
    assert made["apiVersion"] == "autoscaling/v2"
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 42


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        pytest.param(
            configuration("Object{spec: Object.spec{tolerations: []}}"),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
            "structs: .spec.tolerations",
            id="atomic list",
        ),
        pytest.param(
            configuration("Object{spec: Object.spec{nodeSelector: {'a': 'b'}}}"),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
            "structs: .spec.nodeSelector",
            id="atomic map",
        ),
        pytest.param(
            configuration("Object{spec: Object.spec{nothing: 1}}"),
            "error applying patch: failed to convert patch object to typed object: .spec.nothing: field not "
            "declared in schema",
            id="unknown field",
        ),
        pytest.param(
            configuration("Object{spec: Object.metadata{}}"),
            'type mismatch: unexpected type name "Object.metadata", expected "Object.spec", which matches '
            "field name path from root Object type",
            id="wrong type",
        ),
        pytest.param(
            configuration("Object{spec: Object.spec{nodeName: object.spec.nothing}}"),
            "expression 'Object{spec: Object.spec{nodeName: object.spec.nothing}}' resulted in error: no "
            "such key: nothing",
            id="evaluation",
        ),
        pytest.param(
            json_patch("[JSONPatch{op: 'add', path: '/spec/a/b', value: 1}]"),
            'JSONPath: add operation does not apply: doc is missing path: "/spec/a/b": missing value',
            id="no such path",
        ),
        pytest.param(
            json_patch("[JSONPatch{op: 'replace', path: '/spec/a', value: 1}]"),
            "JSONPath: replace operation does not apply: doc is missing key: /spec/a: missing value",
            id="nothing to replace",
        ),
        pytest.param(
            json_patch("[JSONPatch{op: 'remove', path: '/spec/a'}]"),
            "JSONPath: error in remove for path: '/spec/a': Unable to remove nonexistent key: a: missing "
            "value",
            id="nothing to remove",
        ),
        pytest.param(
            json_patch("[JSONPatch{op: 'frobnicate', path: '/spec/a'}]"),
            "JSONPath: Unexpected kind: frobnicate",
            id="unknown operation",
        ),
    ],
)
@pytest.mark.parametrize("failure", ["Fail", "Ignore"])
async def test_a_mutation_that_cannot_be_applied(
    api: Api, policies: Policies, mutation: dict[str, Any], why: str, failure: str
) -> None:
    await policies.mutating("bad", mutation, matchConstraints=rules("pods"), failurePolicy=failure)
    answer = await api("POST", PODS, pod())
    if failure == "Ignore":
        assert answer.code == 201
        return
    message = f"policy 'bad' with binding 'bad' denied request: {why}"
    assert (answer.code, answer.body["reason"]) == (403, "Invalid")
    assert answer.body["message"] == message
    assert answer.body["details"] == {"name": "web", "kind": "pods", "causes": [{"message": message}]}


async def test_a_patch_that_leaves_no_sound_object_is_an_error_of_the_server(
    api: Api, policies: Policies
) -> None:
    await policies.mutating("bad", json_patch("[JSONPatch{op: 'add', path: '/nothing', value: 1}]"))
    answer = await api("POST", CONFIGMAPS, configmap())
    assert answer.code == 500
    text = 'Internal error occurred: strict decoding error: unknown field "nothing"'
    assert answer.body["message"] == text


async def test_the_options_of_a_connection_have_no_schema(api: Api, policies: Policies) -> None:
    await api.make(PODS, pod())
    await policies.mutating("x", labelled(a="b"), matchConstraints=rules("pods/exec", "CONNECT"))
    answer = await api("POST", f"{PODS}/web/exec", command="sh")
    assert answer.code == 503
    assert answer.body["message"].startswith("Resource kind /v1, Kind=PodExecOptions not found. There can be")


async def test_custom_resources_are_merged_by_their_schema(api: Api, policies: Policies) -> None:
    items = {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}}
    listed = {
        "type": "array",
        "items": items | {"required": ["name"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    spec_schema = {"type": "object", "properties": {"parts": listed}}
    schema = {"type": "object", "properties": {"spec": spec_schema}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    definition = {"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.make(path, {"metadata": {"name": "things.example.com"}, "spec": definition})
    await established(api, "things.example.com")
    await policies.mutating(
        "sized",
        configuration("Object{spec: Object.spec{parts: [Object.spec.parts{name: 'b', size: 7}]}}"),
        matchConstraints=rules("things"),
    )
    parts = [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    made = await api.make("/apis/example.com/v1/things", thing | {"spec": {"parts": parts}})
    assert made["spec"]["parts"] == [{"name": "a", "size": 1}, {"name": "b", "size": 7}]


async def test_metrics_count_mutations(api: Api, policies: Policies) -> None:
    await policies.mutating("good", labelled(a="b"))
    await policies.mutating("bad", configuration("Object{data: {'x': object.data.x}}"))
    await api("POST", CONFIGMAPS, configmap())
    text = (await api("GET", "/metrics", accept="text/plain")).body.decode()
    name = "apiserver_mutating_admission_policy_check_total"
    assert f'{name}{{error_type="no_error",policy="good",policy_binding="good"}} 1.0' in text
    assert f'{name}{{error_type="invalid_error",policy="bad",policy_binding="bad"}} 1.0' in text

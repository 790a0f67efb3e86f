"""What ResourceQuotas let through, through HTTP. The quota's status, which a controller would write, is
written by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.testing.etcd import Etcd
from kplane.testing.waiting import eventually

from ..conftest import Api, configmap, pod

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
PODS = "/api/v1/namespaces/default/pods"


async def make_quota(api: Api, hard: dict[str, str], name: str = "quota", **spec: Any) -> None:
    """Counted already: nothing is used."""
    made = await api.make(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard} | spec})
    made["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    answer = await api("PUT", f"{QUOTAS}/{name}/status", made)
    assert answer.code == 200, answer.body


async def used(api: Api, name: str = "quota") -> Any:
    return (await api("GET", f"{QUOTAS}/{name}")).body["status"]["used"]


def asking(name: str = "web", cpu: str = "500m", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}}
    return pod(name, containers=[{"name": "c", "image": "web:1", "resources": resources}], **spec)


async def test_pods_are_charged_until_there_is_no_room(api: Api) -> None:
    await make_quota(api, {"pods": "5", "requests.cpu": "1"})
    await api.make(PODS, asking("a"))
    await api.make(PODS, asking("b"))
    assert await used(api) == {"pods": "2", "requests.cpu": "1"}
    answer = await api("POST", PODS, asking("c"))
    assert (answer.code, answer.body["message"]) == (
        403,
        'pods "c" is forbidden: exceeded quota: quota, requested: requests.cpu=500m, used: requests.cpu=1, '
        "limited: requests.cpu=1",
    )


async def test_quotas_are_never_oversold(api: Api) -> None:
    await make_quota(api, {"pods": "3"})
    answers = await asyncio.gather(*(api("POST", PODS, pod(f"p{n}")) for n in range(12)))
    assert sorted(answer.code for answer in answers) == [201] * 3 + [403] * 9
    assert await used(api) == {"pods": "3"}


async def test_containers_must_say_what_a_quota_counts(api: Api) -> None:
    await make_quota(api, {"requests.cpu": "1"})
    answer = await api("POST", PODS, pod())
    why = "failed quota: quota: must specify requests.cpu for: c"
    assert (answer.code, answer.body["message"]) == (403, f'pods "web" is forbidden: {why}')


async def test_nothing_is_granted_before_the_quota_was_counted(api: Api) -> None:
    made = await api.make(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    made["status"] = {"hard": {"pods": "1"}}
    await api("PUT", f"{QUOTAS}/q/status", made)
    answer = await api("POST", PODS, pod())
    why = "status unknown for quota: q, resources: pods"
    assert (answer.code, answer.body["message"]) == (403, f'pods "web" is forbidden: {why}')


async def test_a_dry_run_is_checked_and_not_charged(api: Api) -> None:
    await make_quota(api, {"pods": "1"})
    assert (await api("POST", PODS, pod(), dryRun="All")).code == 201
    assert await used(api) == {"pods": "0"}
    await api.make(PODS, pod())
    assert (await api("POST", PODS, pod("b"), dryRun="All")).code == 403


@pytest.mark.parametrize(
    ("scopes", "spec", "counted"),
    [
        pytest.param({"scopes": ["BestEffort"]}, {}, "1", id="best-effort"),
        pytest.param({"scopes": ["NotBestEffort"]}, {}, "0", id="not-best-effort"),
        pytest.param({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, "1", id="terminating"),
        pytest.param({"scopes": ["NotTerminating"]}, {"activeDeadlineSeconds": 5}, "0", id="not-terminating"),
    ],
)
async def test_scopes_choose_pods(
    api: Api, scopes: dict[str, Any], spec: dict[str, Any], counted: str
) -> None:
    await make_quota(api, {"pods": "5"}, **scopes)
    await api.make(PODS, pod(**spec))
    assert await used(api) == {"pods": counted}


async def test_scope_selectors_choose_priority_classes(api: Api) -> None:
    selector = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
    await make_quota(api, {"pods": "5"}, scopeSelector={"matchExpressions": [selector]})
    await api.make(PODS, pod("a"))
    await api.make(PODS, pod("b", priorityClassName="system-node-critical"))
    assert await used(api) == {"pods": "1"}


async def test_other_namespaces_in_affinities_are_a_scope(api: Api) -> None:
    await make_quota(api, {"pods": "0"}, scopes=["CrossNamespacePodAffinity"])
    term = {"topologyKey": "zone", "labelSelector": {}, "namespaces": ["other"]}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    await api.make(PODS, pod("plain"))
    assert (await api("POST", PODS, pod(affinity=affinity))).code == 403


async def test_objects_of_every_kind_can_be_counted(api: Api) -> None:
    await make_quota(api, {"count/configmaps": "1", "services.nodeports": "1", "requests.storage": "1Gi"})
    path = "/api/v1/namespaces/default"
    await api.make(f"{path}/configmaps", configmap("a"))
    assert (await api("POST", f"{path}/configmaps", configmap("b"))).code == 403
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}}
    refused = await api("POST", f"{path}/services", service)
    assert "requested: services.nodeports=2" in refused.body["message"]
    claim = {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await api.make(f"{path}/persistentvolumeclaims", claim)
    counts = {"count/configmaps": "1", "services.nodeports": "0", "requests.storage": "1Gi"}
    assert await used(api) == counts


async def test_a_change_is_charged_for_what_it_adds(api: Api) -> None:
    await make_quota(api, {"services.loadbalancers": "1"})
    path = "/api/v1/namespaces/default/services"
    made = await api.make(path, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    made["spec"]["type"] = "LoadBalancer"
    assert (await api("PUT", f"{path}/s", made)).code == 200
    assert await used(api) == {"services.loadbalancers": "1"}


async def test_no_quota_is_charged_for_what_another_refuses(api: Api) -> None:
    await make_quota(api, {"pods": "5"}, name="a")
    await make_quota(api, {"pods": "0"}, name="b")
    assert (await api("POST", PODS, pod())).code == 403
    assert await used(api, "a") == {"pods": "0"}


async def test_what_is_limited_by_configuration_needs_a_quota(
    config: ApiServerConfig, tmp_path: Path
) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(
        "kind: AdmissionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n"
        "plugins:\n- name: ResourceQuota\n"
        "  configuration:\n    limitedResources:\n    - resource: pods\n      matchContains: [requests.cpu]\n"
    )
    async with ApiServer(replace(config, admission_control_config_file=file)) as server:
        api = Api(server.app)
        answer = await api("POST", PODS, asking())
        assert answer.body["message"].endswith("insufficient quota to consume: requests.cpu")
        await make_quota(api, {"requests.cpu": "1"})
        await api.make(PODS, asking())


async def test_custom_resources_are_counted(api: Api) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.make(definitions, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    await eventually(lambda: served(api, widgets))
    await make_quota(api, {"count/widgets.example.com": "1"})
    kind = {"apiVersion": "example.com/v1", "kind": "Widget"}
    await api.make(widgets, kind | {"metadata": {"name": "a"}})

    answer = await api("POST", widgets, kind | {"metadata": {"name": "b"}})

    assert (answer.code, answer.body["message"]) == (
        403,
        'widgets.example.com "b" is forbidden: exceeded quota: quota, requested: '
        "count/widgets.example.com=1, used: count/widgets.example.com=1, limited: "
        "count/widgets.example.com=1",
    )


async def served(api: Api, path: str) -> bool:
    return (await api("GET", path)).code == 200


async def test_claims_are_in_the_scope_of_their_attributes_class(api: Api) -> None:
    hard = {"persistentvolumeclaims": "1"}
    selector = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}
    await make_quota(api, hard, scopeSelector={"matchExpressions": [selector]})
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"

    def claim(name: str, kind: str) -> dict[str, Any]:
        resources = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "volumeAttributesClassName": kind}
        return {"metadata": {"name": name}, "spec": spec}

    codes = [
        (await api("POST", claims, claim(name, kind))).code
        for name, kind in (("a", "fast"), ("b", "slow"), ("c", "slow"), ("d", "fast"))
    ]
    assert codes == [201, 201, 201, 403]


@pytest.mark.slow
async def test_two_servers_on_one_etcd_never_oversell_together(config: ApiServerConfig) -> None:
    async with Etcd() as etcd:
        shared = replace(config, storage_dir=None, etcd_servers=(etcd.url,))
        async with ApiServer(shared) as one, ApiServer(shared) as other:
            apis = (Api(one.app), Api(other.app))
            await make_quota(apis[0], {"pods": "7"})
            await apis[1]("GET", f"{QUOTAS}/quota")
            answers = await asyncio.gather(
                *(apis[number % 2]("POST", PODS, pod(f"p{number}")) for number in range(40))
            )
            codes = [answer.code for answer in answers]
            stored = (await apis[0]("GET", PODS)).body["items"]
            charged = await used(apis[1])

    assert (codes.count(201), codes.count(403)) == (7, 33)
    assert len(stored) == 7
    assert charged == {"pods": "7"}


async def test_claims_of_devices_are_charged_by_their_class(api: Api) -> None:
    name = "gpu.deviceclass.resource.k8s.io/devices"
    await make_quota(api, {name: "3"})
    claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"

    def claim(named: str, count: int) -> dict[str, Any]:
        exactly = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count}
        return {
            "metadata": {"name": named},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
        }

    await api.make(claims, claim("a", 2))
    refused = await api("POST", claims, claim("b", 2))

    assert (refused.code, refused.body["message"]) == (
        403,
        f'resourceclaims.resource.k8s.io "b" is forbidden: exceeded quota: quota, requested: {name}=2, '
        f"used: {name}=2, limited: {name}=3",
    )


async def test_a_pod_that_says_what_it_wants_as_a_whole_need_not_say_it_of_containers(api: Api) -> None:
    await make_quota(api, {"requests.cpu": "9", "limits.memory": "9Gi"})
    answer = await api("POST", PODS, pod(resources={"requests": {"cpu": "1"}}))
    assert answer.code == 201, answer.body

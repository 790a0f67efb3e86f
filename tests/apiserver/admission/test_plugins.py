"""What the built-in admission plug-ins do to pods, nodes, claims and classes, through HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.admission.registry import ORDER, PLUGINS, chosen
from kplane.apiserver.config import ApiServerConfig, parse
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal

from ..conftest import Api, pod

PODS = "/api/v1/namespaces/default/pods"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
LIMITS = "/api/v1/namespaces/default/limitranges"


def message(answer: Any) -> tuple[int, str]:
    return answer.code, answer.body["message"]


def limit_range(*limits: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "limits"}, "spec": {"limits": list(limits)}}


def container(**resources: Any) -> dict[str, Any]:
    return {"name": "c", "image": "web:1", "resources": resources}


def claim(size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec,
    }


def storage_class(name: str, *, default: bool = True, **more: Any) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": annotations}, "provisioner": "example.com/p"} | more


def test_plugins_run_in_the_order_of_the_table() -> None:
    names = chosen(("NodeRestriction", "AlwaysDeny"), ("Priority",))
    assert names == sorted(names, key=ORDER.index)
    assert "Priority" not in names
    assert names[-2:] == ["ResourceQuota", "AlwaysDeny"]
    assert set(PLUGINS) <= set(ORDER)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        pytest.param(
            ["--enable-admission-plugins=Nope"],
            'enable-admission-plugins plugin "Nope" is unknown',
            id="enable-unknown",
        ),
        pytest.param(
            ["--disable-admission-plugins=Nope"],
            'disable-admission-plugins plugin "Nope" is unknown',
            id="disable-unknown",
        ),
        pytest.param(
            ["--enable-admission-plugins=Priority", "--disable-admission-plugins=Priority"],
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
            id="both",
        ),
    ],
)
def test_names_of_plugins_are_checked(flags: list[str], text: str) -> None:
    with pytest.raises(Fatal, match=text.replace("[", r"\[")):
        parse(["--etcd-servers=http://127.0.0.1:1", *flags])


async def test_a_disabled_plugin_does_nothing(config: ApiServerConfig) -> None:
    async with ApiServer(replace(config, disable_admission_plugins=("Priority", "ServiceAccount"))) as server:
        made = await Api(server.app).make(PODS, pod())
        assert "priority" not in made["spec"]


def sized(name: str, cpu: str, **more: Any) -> dict[str, Any]:
    limits = {"limits": {"cpu": cpu}} if cpu else {}
    return {"name": name, "image": "web", "resources": limits} | more


async def test_limit_range_fills_in_and_tells(api: Api) -> None:
    await api.make(
        LIMITS, limit_range({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}})
    )
    made = await api.make(PODS, pod())
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; "
        "cpu limit for container c"
    }


@pytest.mark.parametrize(
    ("bounds", "resources", "text"),
    [
        pytest.param(
            {"type": "Container", "min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
            id="below-minimum",
        ),
        pytest.param(
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {},
            "maximum memory usage per Pod is 1Gi.  No limit is specified",
            id="no-limit",
        ),
        pytest.param(
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            id="ratio",
        ),
    ],
)
async def test_pods_outside_of_the_bounds_are_refused(
    api: Api, bounds: dict[str, Any], resources: dict[str, Any], text: str
) -> None:
    await api.make(LIMITS, limit_range(bounds))
    answer = await api("POST", PODS, pod(containers=[container(**resources)]))
    assert message(answer) == (403, f'pods "web" is forbidden: {text}')


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param(
            {"containers": [sized("c", "1"), sized("d", "")]},
            "",
            id="one container says nothing",
        ),
        pytest.param(
            {"containers": [sized("c", "2")], "initContainers": [sized("i", "4")]},
            "maximum cpu usage per Pod is 3, but limit is 4",
            id="init container",
        ),
        pytest.param(
            {"containers": [sized("c", "2")], "initContainers": [sized("s", "2", restartPolicy="Always")]},
            "maximum cpu usage per Pod is 3, but limit is 4",
            id="sidecar",
        ),
        pytest.param(
            {
                "containers": [sized("c", "1")],
                "initContainers": [sized("s", "2", restartPolicy="Always"), sized("i", "2")],
            },
            "maximum cpu usage per Pod is 3, but limit is 4",
            id="init container beside a sidecar",
        ),
        pytest.param(
            {"containers": [sized("c", "2")], "resources": {"limits": {"cpu": "5"}}},
            "maximum cpu usage per Pod is 3, but limit is 5",
            id="whole pod",
        ),
    ],
)
async def test_pods_are_bounded_as_a_whole(api: Api, spec: dict[str, Any], text: str) -> None:
    await api.make(LIMITS, limit_range({"type": "Pod", "max": {"cpu": "3"}}))
    answer = await api("POST", PODS, pod(**spec))
    assert answer.code == (403 if text else 201)
    if text:
        assert message(answer) == (403, f'pods "web" is forbidden: {text}')


async def test_claims_outside_of_the_bounds_are_refused(api: Api) -> None:
    await api.make(LIMITS, limit_range({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}))
    answer = await api("POST", CLAIMS, claim("2Gi"))
    why = "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    assert message(answer) == (403, f'persistentvolumeclaims "data" is forbidden: {why}')


async def test_priority_comes_from_the_class(api: Api) -> None:
    await api.make(PRIORITIES, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
    made = await api.make(PODS, pod(priorityClassName="high"))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (7, "Never")
    system = await api.make(PODS, pod("vital", priorityClassName="system-node-critical"))
    assert system["spec"]["priority"] == 2000001000


async def test_priority_without_a_class_is_the_default_one(api: Api) -> None:
    plain = await api.make(PODS, pod("plain"))
    assert (plain["spec"]["priority"], plain["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    await api.make(PRIORITIES, {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True})
    made = await api.make(PODS, pod())
    assert (made["spec"]["priorityClassName"], made["spec"]["priority"]) == ("usual", 3)
    second = await api("POST", PRIORITIES, {"metadata": {"name": "b"}, "value": 3, "globalDefault": True})
    assert second.code == 403
    assert "PriorityClass usual is already marked as default" in second.body["message"]


async def test_priority_cannot_be_chosen(api: Api) -> None:
    answer = await api("POST", PODS, pod(priority=5))
    assert answer.code == 403
    assert "the integer value of priority (5) must not be provided in pod spec" in answer.body["message"]
    missing = await api("POST", PODS, pod(priorityClassName="none"))
    assert message(missing) == (
        403,
        'pods "web" is forbidden: no PriorityClass with name none was found',
    )


async def test_pods_tolerate_lost_nodes_for_a_while(api: Api) -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    made = await api.make(PODS, pod(tolerations=[own]))
    unreachable = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    assert made["spec"]["tolerations"] == [own, unreachable]


async def test_new_nodes_take_no_pods_yet(config: ApiServerConfig) -> None:
    async with ApiServer(replace(config, enable_admission_plugins=("TaintNodesByCondition",))) as server:
        node = await Api(server.app).make("/api/v1/nodes", {"metadata": {"name": "n"}})
        assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_bound_pods_know_their_zone(api: Api) -> None:
    labels = {"topology.kubernetes.io/zone": "a", "other": "x"}
    await api.make("/api/v1/nodes", {"metadata": {"name": "n", "labels": labels}})
    await api.make(PODS, pod())
    await api.make(
        f"{PODS}/web/binding", {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n"}}
    )
    bound = await api("GET", f"{PODS}/web")
    assert bound.body["metadata"]["labels"] == {"app": "web", "topology.kubernetes.io/zone": "a"}


async def test_claims_get_the_default_class(api: Api) -> None:
    await api.make(STORAGE, storage_class("plain", default=False))
    await api.make(STORAGE, storage_class("usual"))
    made = await api.make(CLAIMS, claim())
    assert made["spec"]["storageClassName"] == "usual"
    none = await api.make(CLAIMS, claim(storageClassName="") | {"metadata": {"name": "none"}})
    assert none["spec"]["storageClassName"] == ""


async def test_claims_grow_only_where_their_class_allows_it(api: Api) -> None:
    await api.make(STORAGE, storage_class("fixed"))
    made = await api.make(CLAIMS, claim())
    made["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    bound = await api("PUT", f"{CLAIMS}/data/status", made)
    bound.body["spec"]["resources"]["requests"]["storage"] = "2Gi"
    answer = await api("PUT", f"{CLAIMS}/data", bound.body)
    assert answer.code == 403
    assert "the storageclass that provisions the pvc must support resize" in answer.body["message"]


async def test_storage_is_protected_while_it_is_used(config: ApiServerConfig) -> None:
    async with ApiServer(config) as server:
        made = await Api(server.app).make(CLAIMS, claim())
        assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_runtime_class_says_overhead_and_place(api: Api) -> None:
    await api.make(
        RUNTIMES,
        {
            "metadata": {"name": "vm"},
            "handler": "vm",
            "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {
                "nodeSelector": {"vm": "yes"},
                "tolerations": [{"key": "vm", "operator": "Exists"}],
            },
        },
    )
    made = await api.make(PODS, pod(runtimeClassName="vm"))
    assert made["spec"]["overhead"] == {"cpu": "100m"}
    assert made["spec"]["nodeSelector"] == {"vm": "yes"}
    assert {"key": "vm", "operator": "Exists"} in made["spec"]["tolerations"]
    clash = await api("POST", PODS, pod("b", runtimeClassName="vm", nodeSelector={"vm": "no"}))
    assert message(clash) == (
        403,
        'pods "b" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; '
        "pod.spec.nodeSelector[vm] = no",
    )
    alone = await api("POST", PODS, pod("c", overhead={"cpu": "1"}))
    assert alone.code == 403
    missing = await api("POST", PODS, pod("d", runtimeClassName="none"))
    assert message(missing) == (403, 'pods "d" is forbidden: pod rejected: RuntimeClass "none" not found')


async def test_ingresses_get_the_default_class(api: Api) -> None:
    group = "/apis/networking.k8s.io/v1"
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    await api.make(
        f"{group}/ingressclasses",
        {"metadata": {"name": "main", "annotations": annotations}, "spec": {"controller": "example.com/c"}},
    )
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    made = await api.make(
        f"{group}/namespaces/default/ingresses",
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}},
    )
    assert made["spec"]["ingressClassName"] == "main"

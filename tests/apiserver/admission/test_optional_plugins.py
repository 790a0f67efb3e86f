"""The admission plug-ins that are off by default: what each does once it is enabled, through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal

from ..conftest import Api, pod

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
EVENTS = "/api/v1/namespaces/default/events"

Enabled = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def enabled(config: ApiServerConfig, tmp_path: Path) -> Enabled:
    """A server with one more plug-in, and perhaps that plug-in's configuration (YAML)."""

    @asynccontextmanager
    async def start(name: str, settings: str = "") -> AsyncIterator[Api]:
        file = tmp_path / "admission.yaml"
        entry = f"plugins: [{{name: {name}, configuration: {settings}}}]" if settings else "plugins: []"
        file.write_text(f"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n{entry}\n")
        changed = replace(config, enable_admission_plugins=(name,), admission_control_config_file=file)
        async with ApiServer(changed) as server:
            yield Api(server.app)

    return start


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "web:1"} | fields


async def test_images_are_always_pulled(enabled: Enabled) -> None:
    async with enabled("AlwaysPullImages") as api:
        once = container(imagePullPolicy="IfNotPresent")
        spec = (await api.make(PODS, pod(containers=[once], initContainers=[once | {"name": "i"}])))["spec"]

    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["initContainers"][0]["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(
    ("key", "code"),
    [pytest.param("kubernetes.io/hostname", 201, id="node"), pytest.param("zone", 403, id="zone")],
)
async def test_required_anti_affinity_is_limited_to_nodes(enabled: Enabled, key: str, code: int) -> None:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    async with enabled("LimitPodHardAntiAffinityTopology") as api:
        answer = await api("POST", PODS, pod(affinity=affinity))

    assert answer.code == code
    if code == 403:
        assert answer.body["message"] == (
            'pods "web" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone '
            "but only key kubernetes.io/hostname is allowed"
        )


async def test_pods_tolerate_the_taints_of_their_devices(enabled: Enabled) -> None:
    resources = {"limits": {"example.com/gpu": "1", "memory": "1Mi"}}
    async with enabled("ExtendedResourceToleration") as api:
        spec = (await api.make(PODS, pod(containers=[container(resources=resources)])))["spec"]

    wanted = {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert [one for one in spec["tolerations"] if one["effect"] == "NoSchedule"] == [wanted]


async def test_services_get_no_new_external_addresses(enabled: Enabled) -> None:
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}}
    async with enabled("DenyServiceExternalIPs") as api:
        answer = await api("POST", SERVICES, service)
        await api.make(SERVICES, service | {"spec": {"ports": [{"port": 80}]}})

    assert (answer.code, answer.body["message"]) == (
        403,
        'services "web" is forbidden: Use of external IPs is denied by admission control',
    )


async def test_nothing_is_written_in_a_namespace_that_is_missing(enabled: Enabled) -> None:
    async with enabled("NamespaceExists") as api:
        await api.make(PODS, pod())
        answer = await api("POST", "/api/v1/namespaces/nowhere/pods", pod())

    assert (answer.code, answer.body["message"]) == (404, 'namespaces "nowhere" not found')


SELECTORS = (
    "{podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: disk=fast, default: 'disk=fast,zone=a'}}"
)


@pytest.mark.parametrize(
    ("own", "outcome"),
    [
        pytest.param({}, {"disk": "fast"}, id="default"),
        pytest.param({"zone": "a"}, {"disk": "fast", "zone": "a"}, id="merged"),
        pytest.param(
            {"disk": "slow"},
            "pod node label selector conflicts with its namespace node label selector",
            id="conflict",
        ),
        pytest.param(
            {"zone": "b"},
            "pod node label selector labels conflict with its namespace whitelist",
            id="unlisted",
        ),
    ],
)
async def test_pods_get_the_nodes_of_their_namespace(enabled: Enabled, own: Any, outcome: Any) -> None:
    async with enabled("PodNodeSelector", SELECTORS) as api:
        answer = await api("POST", PODS, pod(nodeSelector=own))

    if isinstance(outcome, str):
        assert (answer.code, answer.body["message"]) == (403, f'pods "web" is forbidden: {outcome}')
    else:
        assert answer.body["spec"]["nodeSelector"] == outcome


async def test_the_annotation_of_a_namespace_selects_nodes(enabled: Enabled) -> None:
    annotations = {"scheduler.alpha.kubernetes.io/node-selector": "disk=big"}
    async with enabled("PodNodeSelector", SELECTORS) as api:
        await api.make("/api/v1/namespaces", {"metadata": {"name": "team", "annotations": annotations}})
        made = await api.make("/api/v1/namespaces/team/pods", pod())

    assert made["spec"]["nodeSelector"] == {"disk": "big"}


def event(name: str, about: str = "web") -> dict[str, Any]:
    involved = {"kind": "Pod", "namespace": "default", "name": about}
    return {"metadata": {"name": name}, "involvedObject": involved, "reason": "R", "message": "m"}


async def test_events_beyond_the_limit_are_refused(enabled: Enabled) -> None:
    async with enabled("EventRateLimit", "{limits: [{type: SourceAndObject, qps: 1, burst: 2}]}") as api:
        codes = [(await api("POST", EVENTS, event(str(number)))).code for number in range(2)]
        refused = await api("POST", EVENTS, event("third"))
        other = await api("POST", EVENTS, event("other", about="db"))

    assert (codes, other.code) == ([201, 201], 201)
    assert (refused.code, refused.body["message"]) == (
        429,
        "Too many requests: limit reached on type SourceAndObject for key Poddefaultweb",
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param("", r"limits: Invalid value", id="none"),
        pytest.param("{limits: [{type: Star, qps: 1, burst: 1}]}", r"limits\[0\].type: Unsupp", id="type"),
        pytest.param("{limits: [{type: User, qps: 0, burst: 1}]}", r"limits\[0\].qps: Invalid", id="qps"),
    ],
)
async def test_limits_that_make_no_sense_stop_the_server(enabled: Enabled, settings: str, text: str) -> None:
    with pytest.raises(Fatal, match=text):
        async with enabled("EventRateLimit", settings):
            raise AssertionError

"""Container environments: sources, order, expansion, service variables."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kplane.api.types import ConfigMap, Secret, Service
from kplane.client.codec import codec, encode
from kplane.kubelet.environment import ConfigError, Sources, build, expand
from kplane.testing.objects import make_configmap, make_object

from .support import pod_of


def environment(sources: Sources | None = None, **container: Any) -> dict[str, str]:
    pod = pod_of({"name": "web", "image": "web:1", **container})
    return build(pod, pod.spec.containers[0], sources or Sources())


def config_map(**data: str) -> ConfigMap:
    return codec(ConfigMap).one(encode(make_configmap("settings", data=data)))


def secret(**data: str) -> Secret:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return codec(Secret).one(encode(make_object("v1", "Secret", "keys", "default", data=encoded)))


def service(name: str, namespace: str = "default", ip: str = "10.0.0.1") -> Service:
    ports = [{"port": 80, "protocol": "TCP", "name": "http"}]
    spec = {"clusterIP": ip, "ports": ports}
    return codec(Service).one(encode(make_object("v1", "Service", name, namespace, spec=spec)))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        pytest.param("$(A)-$(B)", "1-2", id="known"),
        pytest.param("$(C)", "$(C)", id="unknown stays"),
        pytest.param("$$(A)", "$(A)", id="escaped"),
        pytest.param("$A ${A} $(A", "$A ${A} $(A", id="other syntax stays"),
        pytest.param("$$$(A)$", "$1$", id="dollars"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


def test_later_variables_see_earlier_ones() -> None:
    assert environment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}])["B"] == "12"


def test_fields_and_resources() -> None:
    found = environment(
        Sources(host_ips=("192.0.2.1",), pod_ips=("10.1.0.2",), allocatable={"memory": "1Gi"}),
        resources={"limits": {"cpu": "1500m"}},
        env=[
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MILLI", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {
                "name": "MEMORY",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ],
    )

    assert found == {
        "NAME": "web", "APP": "web", "IP": "10.1.0.2", "HOST": "192.0.2.1",
        "CPU": "2", "MILLI": "1500", "MEMORY": "1024",
    }  # fmt: skip


def test_objects_with_prefix_are_overridden_by_env() -> None:
    sources = Sources(config_maps={"settings": config_map(A="1", B="2")}, secrets={"keys": secret(KEY="s")})

    found = environment(
        sources,
        envFrom=[
            {"prefix": "P_", "configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "keys"}},
            {"configMapRef": {"name": "missing", "optional": True}},
        ],
        env=[
            {"name": "P_B", "value": "own"},
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "A"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x", "optional": True}}},
        ],
    )

    assert found == {"P_A": "1", "P_B": "own", "KEY": "s", "A": "1"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            {"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found', id="no config map"
        ),
        pytest.param({"secretKeyRef": {"name": "no", "key": "k"}}, 'secret "no" not found', id="no secret"),
        pytest.param(
            {"configMapKeyRef": {"name": "settings", "key": "k"}},
            "couldn't find key k in ConfigMap default/settings",
            id="no key",
        ),
    ],
)
def test_missing_source_is_an_error(source: Any, message: str) -> None:
    sources = Sources(config_maps={"settings": config_map(A="1")})

    with pytest.raises(ConfigError, match=f"^{message}$"):
        environment(sources, env=[{"name": "X", "valueFrom": source}])


def test_service_variables() -> None:
    found = environment(
        Sources(services=[service("my-db"), service("other", "elsewhere"), service("x", ip="None")])
    )

    assert found == {
        "MY_DB_SERVICE_HOST": "10.0.0.1",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_HTTP": "80",
        "MY_DB_PORT": "tcp://10.0.0.1:80",
        "MY_DB_PORT_80_TCP": "tcp://10.0.0.1:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.0.0.1",
    }


def test_without_service_links_only_the_api_is_known() -> None:
    pod = pod_of(enableServiceLinks=False)
    services = [service("db"), service("kubernetes")]

    found = build(pod, pod.spec.containers[0], Sources(services=services))

    assert {name.partition("_")[0] for name in found} == {"KUBERNETES"}

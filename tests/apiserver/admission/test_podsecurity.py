"""The Pod Security Standards, through HTTP and check by check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.admission.podsecurity.evaluation import findings
from kplane.apiserver.admission.podsecurity.levels import LATEST, Policy
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api, deployment, pod

NAMESPACES = "/api/v1/namespaces"
HARDENED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


async def namespace(api: Api, name: str = "safe", **labels: str) -> str:
    """The path of a new namespace whose labels say so."""
    body = {"metadata": {"name": name, "labels": marks(**labels)}}
    await api.make(NAMESPACES, body)
    return f"{NAMESPACES}/{name}"


def marks(**labels: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}


def secured(**own: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "web:1", "securityContext": own}]}


def judged(spec: dict[str, Any], level: str, version: int = LATEST, **metadata: Any) -> list[str]:
    found = findings({"metadata": metadata, "spec": secured() | spec}, Policy(level, version))
    return [str(finding) for finding in found]


async def test_restricted_refuses_what_is_not_hardened(api: Api) -> None:
    path = await namespace(api, enforce="restricted")
    answer = await api("POST", f"{path}/pods", pod())
    assert (answer.code, answer.body["message"]) == (
        403,
        'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
        'false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted '
        'capabilities (container "c" '
        'must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
        'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" '
        'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    )
    await api.make(f"{path}/pods", pod(**secured(**HARDENED)))


async def test_warn_warns_and_lets_through(api: Api) -> None:
    path = await namespace(api, warn="baseline", warn_version="v1.30")
    answer = await api("POST", f"{path}/pods", pod(hostNetwork=True))
    assert answer.code == 201
    assert 'would violate PodSecurity \\"baseline:v1.30\\": host namespaces (hostNetwork=true)' in str(
        answer.headers["warning"]
    )


async def test_workloads_are_warned_of_and_not_refused(api: Api) -> None:
    path = await namespace(api, enforce="restricted", warn="restricted")
    answer = await api(
        "POST", f"/apis/apps/v1/namespaces/{path.rpartition('/')[2]}/deployments", deployment()
    )
    assert answer.code == 201
    assert "would violate PodSecurity" in answer.headers["warning"]


async def test_labels_must_be_levels_and_versions(api: Api) -> None:
    labels = marks(enforce="strict", warn_version="1.2")
    answer = await api("POST", NAMESPACES, {"metadata": {"name": "n", "labels": labels}})
    assert answer.code == 422
    texts = [cause["message"] for cause in answer.body["details"]["causes"]]
    assert texts == [
        'Invalid value: "strict": must be one of privileged, baseline, restricted',
        'Invalid value: "1.2": must be "latest" or "v1.x"',
    ]


async def test_a_stricter_label_names_the_pods_that_violate_it(api: Api) -> None:
    path = await namespace(api)
    for name in ("a", "b"):
        await api.make(f"{path}/pods", pod(name, hostPID=True))
    patch = {"metadata": {"labels": marks(enforce="baseline")}}
    answer = await api("PATCH", path, patch, content_type="application/merge-patch+json")
    assert answer.code == 200
    assert "a (and 1 other pod): host namespaces" in answer.headers["warning"]


async def test_exemptions_and_defaults_come_from_the_configuration(
    config: ApiServerConfig, tmp_path: Path
) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(
        "kind: AdmissionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n"
        "plugins:\n- name: PodSecurity\n"
        "  configuration:\n    defaults: {enforce: baseline}\n    exemptions: {namespaces: [kube-system]}\n"
    )
    async with ApiServer(replace(config, admission_control_config_file=file)) as server:
        api = Api(server.app)
        assert (await api("POST", f"{NAMESPACES}/default/pods", pod(hostIPC=True))).code == 403
        await api.make(f"{NAMESPACES}/kube-system/pods", pod(hostIPC=True))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param(
            {"hostNetwork": True, "hostPID": True},
            "host namespaces (hostNetwork=true, hostPID=true)",
            id="host-namespaces",
        ),
        pytest.param(
            secured(privileged=True),
            'privileged (container "c" must not set securityContext.privileged=true)',
            id="privileged",
        ),
        pytest.param(
            secured(capabilities={"add": ["NET_ADMIN", "CHOWN"]}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in '
            "securityContext.capabilities.add)",
            id="capabilities",
        ),
        pytest.param(
            {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
            'hostPath volumes (volume "h")',
            id="host-path",
        ),
        pytest.param(
            {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]},
            'hostPort (container "c" uses hostPort 80)',
            id="host-port",
        ),
        pytest.param(
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            "forbidden sysctls (kernel.msgmax)",
            id="sysctl",
        ),
        pytest.param(
            secured(procMount="Unmasked"),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
            id="proc-mount",
        ),
        pytest.param(
            {"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; '
            "user may not be set)",
            id="selinux",
        ),
        pytest.param(
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
            id="seccomp",
        ),
        pytest.param(
            {"containers": [{"name": name, "livenessProbe": {"httpGet": {"host": "h"}}} for name in "ba"]},
            'probe or lifecycle host (containers "a", "b" use probe or lifecycle host "h")',
            id="probed-hosts",
        ),
        pytest.param(
            {"securityContext": {"sysctls": [{"name": "z", "value": "1"}, {"name": "a", "value": "1"}]}},
            "forbidden sysctls (z, a)",
            id="sysctls-in-their-order",
        ),
        pytest.param(
            {"securityContext": {"seLinuxOptions": {"role": "r"}}},
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be set)",
            id="selinux-role",
        ),
        pytest.param(
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}
            | secured(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (pod and container "c" must not set AppArmor profile type to '
            '"Unconfined")',
            id="apparmor",
        ),
        pytest.param(
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
            id="host-process",
        ),
    ],
)
def test_baseline_finds(spec: dict[str, Any], text: str) -> None:
    assert judged(spec, "baseline") == [text]
    assert judged({}, "baseline") == []


@pytest.mark.parametrize(
    ("name", "version", "allowed"),
    [
        pytest.param("net.ipv4.tcp_rmem", 31, False, id="before"),
        pytest.param("net.ipv4.tcp_rmem", 32, True, id="since"),
        pytest.param("net.ipv4.tcp_notsent_lowat", 36, False, id="before-1.37"),
        pytest.param("net.ipv4.tcp_notsent_lowat", 37, True, id="since-1.37"),
    ],
)
def test_older_versions_judge_as_they_did(name: str, version: int, allowed: bool) -> None:
    spec = {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}
    assert (judged(spec, "baseline", version) == []) is allowed


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param(
            secured(**HARDENED | {"runAsNonRoot": False}),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
            id="root",
        ),
        pytest.param(
            secured(**HARDENED, runAsUser=0),
            'runAsUser=0 (container "c" must not set runAsUser=0)',
            id="uid-0",
        ),
        pytest.param(
            secured(**HARDENED) | {"securityContext": {"runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
            id="root-by-the-pod",
        ),
        pytest.param(
            secured(**HARDENED, procMount="Unmasked") | {"hostUsers": False},
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
            id="proc-mount",
        ),
        pytest.param(
            secured(**HARDENED) | {"volumes": [{"name": "v", "nfs": {}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
            id="volume",
        ),
    ],
)
def test_restricted_finds(spec: dict[str, Any], text: str) -> None:
    assert judged(spec, "restricted") == [text]
    assert judged(secured(**HARDENED), "restricted") == []


def test_images_as_volumes_are_harmless() -> None:
    spec = secured(**HARDENED) | {"volumes": [{"name": "v", "image": {"reference": "web:1"}}]}

    assert judged(spec, "restricted") == []


@pytest.mark.parametrize(("version", "allowed"), [(34, False), (35, True)])
@pytest.mark.parametrize(
    ("level", "context"),
    [
        ("baseline", {"procMount": "Unmasked"}),
        ("restricted", HARDENED | {"runAsNonRoot": False}),
        ("restricted", HARDENED | {"runAsUser": 0}),
    ],
)
def test_root_of_a_user_namespace_is_harmless_since_1_35(
    level: str, context: dict[str, Any], version: int, allowed: bool
) -> None:
    spec = secured(**context)

    assert (judged(spec | {"hostUsers": False}, level, version) == []) is allowed
    assert judged(spec, level, version)


def annotated(key: str, value: str, version: int) -> list[str]:
    return judged({}, "baseline", version, annotations={key: value})


def test_annotations_of_profiles_are_judged() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/c"
    assert annotated(key, "unconfined", 36) == [
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    ]
    assert annotated(key, "localhost/mine", 36) == []
    key = "container.seccomp.security.alpha.kubernetes.io/c"
    assert annotated(key, "mine", 18) == [f'seccompProfile (forbidden annotation {key}="mine")']
    assert annotated(key, "docker/default", 18) == []
    assert annotated(key, "mine", 19) == []


async def test_a_pod_that_violates_may_still_change_what_does_not_matter(api: Api) -> None:
    path = await namespace(api)
    made = await api.make(f"{path}/pods", pod(hostIPC=True))
    labels = {"metadata": {"labels": marks(enforce="baseline")}}
    await api("PATCH", path, labels, content_type="application/merge-patch+json")
    await api("GET", path)

    labelled = made | {"metadata": made["metadata"] | {"labels": {"a": "b"}}}
    answer = await api("PUT", f"{path}/pods/web", labelled)
    assert answer.code == 200
    answer.body["spec"]["containers"][0]["image"] = "web:2"
    assert (await api("PUT", f"{path}/pods/web", answer.body)).code == 403


async def test_verdicts_are_counted(api: Api) -> None:
    path = await namespace(api, enforce="baseline", warn="restricted", warn_version="v1.30")
    await api.make(f"{path}/pods", pod())
    await api("POST", f"{path}/pods", pod("other", hostIPC=True))
    text = (await api("GET", "/metrics")).body.decode()

    what = 'request_operation="create",resource="pod",subresource=""'
    for decision, mode, policy in (
        ("allow", "enforce", ("baseline", "latest")),
        ("deny", "enforce", ("baseline", "latest")),
        ("deny", "warn", ("restricted", "v1.30")),
    ):
        level, version = policy
        labels = (
            f'decision="{decision}",mode="{mode}",policy_level="{level}",policy_version="{version}",{what}'
        )
        assert f"pod_security_evaluations_total{{{labels}}} 1.0" in text

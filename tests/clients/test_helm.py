"""Helm 4 through `helm-python-sdk`: releases with hooks, tests, waiting, custom resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from .cluster import Cluster
from .shapes import definition

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:{{ .Values.tag }}"}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-web}
spec: {selector: {app: web}, ports: [{port: 80}]}
{{- if .Capabilities.APIVersions.Has "batch/v1" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data: {kube: "{{ .Capabilities.KubeVersion.Minor }}", greeting: {{ .Values.greeting }}}
{{- end }}
"""

HOOK = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
data: {revision: "{{ .Release.Revision }}"}
"""

TEST = """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: check, image: "check:1"}]
"""

VALUES = "replicas: 2\ntag: '1'\ngreeting: hello\n"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 0.1.0\nappVersion: '1'\n")
    (folder / "values.yaml").write_text(VALUES)
    (folder / "templates" / "web.yaml").write_text(DEPLOYMENT)
    (folder / "templates" / "hook.yaml").write_text(HOOK)
    return folder


@pytest.fixture
def config(cluster: Cluster, namespace: str) -> Iterator[helm.Config]:
    with helm.Config(kubeconfig_path=cluster.kubeconfig, namespace=namespace) as made:
        yield made


def find(cluster: Cluster, path: str) -> Any:
    code, obj = cluster.call("GET", path)
    return obj if code == 200 else None


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    config: helm.Config, cluster: Cluster, namespace: str, chart: Path
) -> None:
    web = f"/apis/apps/v1/namespaces/{namespace}/deployments/one-web"
    before = f"/api/v1/namespaces/{namespace}/configmaps/one-before"

    installed = config.install(chart, "one", wait="watcher", timeout=30)
    ready = find(cluster, web)
    config.upgrade(chart, "one", {"replicas": 3, "tag": "2"}, wait="watcher", timeout=30)
    upgraded, hook = find(cluster, web), find(cluster, before)
    config.rollback("one", version=1, wait="watcher", timeout=30)
    back = find(cluster, web)
    history = [(entry["revision"], entry["status"]) for entry in config.history("one")]
    config.uninstall("one", wait="watcher", timeout=30)

    assert installed["status"] == "deployed"
    assert ready["status"]["readyReplicas"] == 2
    assert ready["metadata"]["annotations"]["meta.helm.sh/release-name"] == "one"
    assert (upgraded["spec"]["replicas"], hook["data"]["revision"]) == (3, "2")
    assert back["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert back["spec"]["replicas"] == 2
    assert history == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert find(cluster, web) is None
    assert config.list(all_states=True) == []


def test_the_server_owns_what_helm_applied(
    config: helm.Config, cluster: Cluster, namespace: str, chart: Path
) -> None:
    config.install(chart, "one")

    settings = find(cluster, f"/api/v1/namespaces/{namespace}/configmaps/one-settings")

    assert settings["data"] == {"kube": "37", "greeting": "hello"}
    [(manager, operation)] = [(e["manager"], e["operation"]) for e in settings["metadata"]["managedFields"]]
    assert manager
    assert operation == "Apply"


def test_a_release_that_never_gets_ready_fails(config: helm.Config, chart: Path) -> None:
    stuck = (
        (chart / "templates" / "web.yaml")
        .read_text()
        .replace("      containers:", "      nodeSelector: {no: where}\n      containers:")
    )
    (chart / "templates" / "web.yaml").write_text(stuck)

    with pytest.raises(helm.HelmError):
        config.install(chart, "one", wait="watcher", timeout=2)

    assert [entry["status"] for entry in config.history("one")] == ["failed"]


def test_a_refusal_of_the_server_is_told(config: helm.Config, chart: Path) -> None:
    with pytest.raises(helm.HelmError, match="must be greater than or equal to 0"):
        config.install(chart, "one", {"replicas": -1})


def test_an_object_of_somebody_else_is_not_taken_over(
    config: helm.Config, cluster: Cluster, namespace: str, chart: Path
) -> None:
    theirs = {"metadata": {"name": "one-settings"}, "data": {"greeting": "mine"}}
    cluster.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", theirs)

    with pytest.raises(helm.HelmError, match="invalid ownership metadata"):
        config.install(chart, "one")


def test_a_dry_run_on_the_server_keeps_nothing(
    config: helm.Config, cluster: Cluster, namespace: str, chart: Path
) -> None:
    told = config.install(chart, "one", dry_run="server")

    assert "kind: Deployment" in told["manifest"]
    assert find(cluster, f"/apis/apps/v1/namespaces/{namespace}/deployments/one-web") is None
    assert config.list(all_states=True) == []


def test_a_namespace_is_created(config: helm.Config, cluster: Cluster, namespace: str, chart: Path) -> None:
    other = f"{namespace}-made"

    config.install(chart, "one", namespace=other, create_namespace=True)

    found = find(cluster, f"/apis/apps/v1/namespaces/{other}/deployments/one-web")
    cluster.call("DELETE", f"/api/v1/namespaces/{other}")
    assert found is not None


def test_a_test_of_the_release_runs_to_its_end(config: helm.Config, chart: Path) -> None:
    (chart / "templates" / "check.yaml").write_text(TEST)
    config.install(chart, "one")

    told = config.test("one", timeout=30)

    assert told["release"]["name"] == "one"


def test_definitions_of_a_chart_come_before_its_objects(
    config: helm.Config, cluster: Cluster, namespace: str, chart: Path
) -> None:
    (chart / "crds").mkdir()
    (chart / "crds" / "kites.yaml").write_text(yaml.safe_dump(definition("helm.kplane.dev", "Kite")))
    kite = "apiVersion: helm.kplane.dev/v1\nkind: Kite\nmetadata: {name: one}\n"
    kite += "spec: {colour: {{ .Values.tag }}}\n"
    (chart / "templates" / "kite.yaml").write_text(kite)
    path = f"/apis/helm.kplane.dev/v1/namespaces/{namespace}/kites/one"

    config.install(chart, "one", {"tag": "red"}, wait="watcher", timeout=30)
    made = find(cluster, path)
    config.upgrade(chart, "one", {"tag": "blue"})
    changed = find(cluster, path)
    config.uninstall("one")

    assert (made["spec"], changed["spec"]) == (
        {"colour": "red", "replicas": 1},
        {"colour": "blue", "replicas": 1},
    )
    assert find(cluster, path) is None
    assert find(cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kites.helm.kplane.dev")

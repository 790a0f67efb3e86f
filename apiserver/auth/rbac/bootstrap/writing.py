"""Short forms in which the bootstrap policy is written down, and the objects that they stand for.

A rule names its verbs, API groups and resources as words; the group `core` is the one without a name.
"""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Object

from ..index import GROUP

API_VERSION = f"{GROUP}/v1"
LABEL = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE_KEY = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = f"{WRITE} {READ}"
READ_UPDATE = f"{READ} patch update"

Rule = dict[str, Any]


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Rule:
    found: Rule = {
        "verbs": sorted(verbs.split()),
        "apiGroups": sorted("" if group == "core" else group for group in groups.split()),
        "resources": sorted(resources.split()),
    }
    return found | ({"resourceNames": sorted(names.split())} if names else {})


def paths(verbs: str, urls: str) -> Rule:
    return {"verbs": verbs.split(), "nonResourceURLs": sorted(urls.split())}


EVENTS = rule("create update patch", "core events.k8s.io", "events")


def cluster_role(name: str, *rules: Rule, labels: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterRole",
        "metadata": _metadata(name, labels),
        "rules": list(rules),
    }


def aggregated(name: str, labels: dict[str, str] | None = None) -> Object:
    """A role whose rules the controller manager puts together."""
    selector = {"matchLabels": {f"{AGGREGATE}{name}": "true"}}
    role = cluster_role(name, labels=labels)
    return role | {"aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": None}


def role(namespace: str, name: str, *rules: Rule) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "Role",
        "metadata": _metadata(name, namespace=namespace),
        "rules": list(rules),
    }


def cluster_binding(name: str, *subjects: Object, role: str = "") -> Object:
    found: Object = {
        "apiVersion": API_VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role or name},
    }
    return found | ({"subjects": list(subjects)} if subjects else {})


def binding(namespace: str, name: str, *subjects: Object, role: str = "") -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "RoleBinding",
        "metadata": _metadata(name, namespace=namespace),
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": role or name},
        "subjects": list(subjects),
    }


def user(name: str) -> Object:
    return {"apiGroup": GROUP, "kind": "User", "name": name}


def group(name: str) -> Object:
    return {"apiGroup": GROUP, "kind": "Group", "name": name}


def account(name: str, namespace: str = "kube-system") -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _metadata(name: str, labels: dict[str, str] | None = None, namespace: str = "") -> Object:
    meta: Object = {
        "name": name,
        "labels": LABEL | (labels or {}),
        "annotations": {AUTOUPDATE_KEY: "true"},
    }
    return meta | ({"namespace": namespace} if namespace else {})

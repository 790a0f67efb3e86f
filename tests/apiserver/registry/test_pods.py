"""Pods: defaults, validation, updates, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.registry.podspec.images import pull_policy
from kplane.apiserver.registry.podspec.qos import qos_class
from kplane.apiserver.registry.podspec.update import MUTABLE
from kplane.apiserver.registry.strategies import STRATEGIES

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
    " end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
PODS = STRATEGIES["", "pods"]


@pytest.fixture
def pods(judge: Any) -> Any:
    return judge("", "pods")


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    base = {"name": "c", "image": "web:1"}
    return {"metadata": {"name": "x"}, "spec": {"containers": [base | (container or {})], **spec}}


def test_a_plain_pod_gets_upstreams_defaults(pods: Any) -> None:
    assert pods.created(pod()) == {
        "metadata": {"name": "x", "uid": "uid-1"},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "web:1",
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("host:5000/web", "Always"),
        ("host:5000/web:1", "IfNotPresent"),
        ("web@sha256:abc", "IfNotPresent"),
        ("web:latest@sha256:abc", "Always"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    ("given", "field", "wanted"),
    [
        ({"ports": [{"containerPort": 80}]}, "ports", [{"containerPort": 80, "protocol": "TCP"}]),
        (
            {"livenessProbe": {"httpGet": {"port": 80}}},
            "livenessProbe",
            {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            "env",
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}],
        ),
        (
            {"resources": {"limits": {"cpu": "0.5", "memory": "100m"}, "requests": {"cpu": "1m"}}},
            "resources",
            {"limits": {"cpu": "500m", "memory": "100m"}, "requests": {"cpu": "1m", "memory": "100m"}},
        ),
        (
            {"lifecycle": {"preStop": {"httpGet": {"port": 1}}}},
            "lifecycle",
            {"preStop": {"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}}},
        ),
    ],
)
def test_defaults_inside_containers(pods: Any, given: dict[str, Any], field: str, wanted: Any) -> None:
    assert pods.created(pod(given))["spec"]["containers"][0][field] == wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({}, {"emptyDir": {}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"name": "m"}}, {"configMap": {"name": "m", "defaultMode": 420}}),
        ({"hostPath": {"path": "/d"}}, {"hostPath": {"path": "/d", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420,
                }
            },
        ),
        ({"image": {"reference": "a:1"}}, {"image": {"reference": "a:1", "pullPolicy": "IfNotPresent"}}),
    ],
)
def test_defaults_of_volumes(pods: Any, source: dict[str, Any], wanted: dict[str, Any]) -> None:
    created = pods.created(pod(volumes=[{"name": "v", **source}], serviceAccountName="s"))

    assert created["spec"]["volumes"] == [{"name": "v", **wanted}]
    assert pods.faults(created) == []


def test_the_host_network_takes_container_ports(pods: Any) -> None:
    created = pods.created(pod({"ports": [{"containerPort": 80}]}, hostNetwork=True))

    assert created["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_a_gated_pod_says_so(pods: Any) -> None:
    condition = pods.created(pod(schedulingGates=[{"name": "a/b"}]))["status"]["conditions"][0]

    assert (condition["type"], condition["reason"]) == ("PodScheduled", "SchedulingGated")


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        ({"metadata": {"name": "x"}, "spec": {}}, "spec.containers: Required value"),
        (pod({"name": ""}), "spec.containers[0].name: Required value"),
        (pod({"name": "A"}), f'spec.containers[0].name: Invalid value: "A": {LABEL}'),
        (pod({"image": ""}), "spec.containers[0].image: Required value"),
        (
            pod({"image": " a"}),
            'spec.containers[0].image: Invalid value: " a": must not have leading or trailing whitespace',
        ),
        (
            pod({"imagePullPolicy": "Maybe"}),
            'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always",'
            ' "IfNotPresent", "Never"',
        ),
        (
            pod({"ports": [{"containerPort": 70000}]}),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535,"
            " inclusive",
        ),
        (
            pod({"ports": [{"containerPort": 1, "protocol": "X"}]}),
            'spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP",'
            ' "UDP"',
        ),
        (
            pod({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
            'spec.containers[0].ports[1].name: Duplicate value: "a"',
        ),
        (pod({"env": [{"name": ""}]}), "spec.containers[0].env[0].name: Required value"),
        (
            pod({"env": [{"name": "A", "valueFrom": {}}]}),
            'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`,'
            " `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        (
            pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.odd"}}}]}),
            'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.odd": error'
            " converting fieldPath: field label not supported: spec.odd",
        ),
        (
            pod({"volumeMounts": [{"name": "v", "mountPath": "/a"}]}),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            pod({"resources": {"limits": {"cpu": "-1"}}}),
            'spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal'
            " to 0",
        ),
        (
            pod({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu'
            " limit of 1",
        ),
        (
            pod({"resources": {"requests": {"a.b/gpu": "500m"}, "limits": {"a.b/gpu": "500m"}}}),
            'spec.containers[0].resources.limits[a.b/gpu]: Invalid value: "500m": must be an integer',
        ),
        (
            pod({"resources": {"requests": {"a.b/gpu": "1"}}}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable"
            " resources",
        ),
        (
            pod({"resources": {"limits": {"disk": "1"}}}),
            'spec.containers[0].resources.limits[disk]: Invalid value: "disk": must be a standard resource'
            " for containers",
        ),
        (
            pod({"livenessProbe": {}}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            pod({"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}),
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            pod({"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            pod({"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
            'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation"'
            ":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            pod(restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure",'
            ' "Never"',
        ),
        (
            pod(activeDeadlineSeconds=0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            pod(volumes=[{"name": "a"}, {"name": "a"}]),
            'spec.volumes[1].name: Duplicate value: "a"',
        ),
        (
            pod(volumes=[{"name": "a", "emptyDir": {}, "hostPath": {"path": "/a"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            pod(volumes=[{"name": "a", "hostPath": {"path": "/a/../b"}}]),
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            pod(volumes=[{"name": "a", "secret": {"secretName": "s", "defaultMode": 1000}}]),
            "spec.volumes[0].secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777"
            " (octal), both inclusive",
        ),
        (
            pod(tolerations=[{"operator": "Equal"}]),
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is'
            ' empty, which means "match all values and all keys"',
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "tolerationSeconds": 1}]),
            "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when"
            " `tolerationSeconds` is set",
        ),
        (
            pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms:"
            " Required value: must have at least one node selector term",
        ),
        (
            pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "zone"}]),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            pod(dnsPolicy="None"),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            pod({"ports": [{"containerPort": 1, "hostPort": 2}]}, hostNetwork=True),
            "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when"
            " `hostNetwork` is true",
        ),
        (
            pod(initContainers=[{"name": "c", "image": "i"}]),
            'spec.initContainers[0].name: Duplicate value: "c"',
        ),
        (
            pod(initContainers=[{"name": "i", "image": "i", "lifecycle": {}}]),
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without"
            " restartPolicy=Always",
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "i"}]),
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
        (
            pod(nodeName="n", schedulingGates=[{"name": "a"}]),
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ),
        (
            {**pod(), "metadata": {"name": "x", "annotations": {"kubernetes.io/config.mirror": "m"}}},
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "m": must set spec.nodeName if'
            " mirror pod annotation is set",
        ),
    ],
)
def test_faults_are_worded_as_upstream(pods: Any, obj: dict[str, Any], fault: str) -> None:
    assert fault in pods.faults(obj)


def test_a_pod_with_everything_has_no_faults(pods: Any) -> None:
    term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
    full = pod(
        {
            "ports": [{"name": "http", "containerPort": 80}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "m"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}},
            "readinessProbe": {"tcpSocket": {"port": "http"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
            "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"]}},
        },
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}],
        initContainers=[{"name": "side", "image": "i", "restartPolicy": "Always"}],
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        tolerations=[{"operator": "Exists"}],
        nodeSelector={"a": "b"},
    )

    assert pods.faults(full) == []


def test_an_image_may_change(pods: Any) -> None:
    old = pods.created(pod())
    new = pods.created(pod({"image": "web:2"}))

    assert pods.update_faults(new, old) == []


def test_a_toleration_may_be_added(pods: Any) -> None:
    old = pods.created(pod())
    new = pods.created(pod(tolerations=[{"operator": "Exists"}]))

    assert pods.update_faults(new, old) == []
    assert pods.update_faults(old, new) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_other_fields_may_not_change(pods: Any) -> None:
    faults = pods.update_faults(pods.created(pod(hostname="h")), pods.created(pod()))

    assert len(faults) == 1
    assert faults[0].startswith(f"spec: Forbidden: {MUTABLE}\n")
    assert "hostname" in faults[0]


def test_containers_may_not_be_added(pods: Any) -> None:
    new = pods.created(pod())
    new["spec"]["containers"].append({**new["spec"]["containers"][0], "name": "d"})

    assert pods.update_faults(new, pods.created(pod())) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_a_deadline_may_only_come_nearer(pods: Any) -> None:
    none, near, far = (
        pods.created(pod(**spec)) for spec in ({}, {"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 9})
    )

    assert pods.update_faults(near, far) == []
    assert pods.update_faults(far, near) == [
        "spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value"
    ]
    assert pods.update_faults(none, near) == [
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil"
        " value"
    ]


@pytest.mark.parametrize(
    ("spec", "phase", "asked", "seconds"),
    [
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 5, 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 0, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -1}, "Running", None, 1),
        ({"terminationGracePeriodSeconds": 30}, "Pending", None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Succeeded", 9, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Failed", None, 0),
    ],
)
def test_grace_on_deletion(spec: dict[str, Any], phase: str, asked: int | None, seconds: int) -> None:
    assert PODS.grace_period({"spec": spec, "status": {"phase": phase}}, asked) == seconds


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "500m", "memory": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"requests": {"a.b/c": "1"}}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], wanted: str) -> None:
    assert qos_class({"containers": [{"resources": entry} for entry in resources]}) == wanted


def test_what_can_be_selected_by_field() -> None:
    fields = PODS.fields(
        {"spec": {"nodeName": "n", "hostNetwork": True}, "status": {"phase": "Running", "podIP": "10.0.0.1"}}
    )

    assert set(fields) == set(PODS.selectable)
    assert fields["spec.hostNetwork"] == "true"
    assert fields["status.podIP"] == "10.0.0.1"


def test_the_status_keeps_its_class(pods: Any) -> None:
    old = pods.created(pod())
    new = {**old, "status": {"phase": "Running"}}

    PODS.prepare_status(new, old)

    assert new["status"]["qosClass"] == "BestEffort"
    changed = {**old, "status": {**old["status"], "qosClass": "Guaranteed"}}
    assert pods.status_faults(changed, old) == [
        'status.qosClass: Invalid value: "Guaranteed": field is immutable'
    ]


def test_a_name_that_is_no_hostname_is_warned_of() -> None:
    warnings = list(PODS.warnings({"metadata": {"name": "a.b"}}))

    assert warnings == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS"
        " label is recommended: [must not contain dots]"
    ]


def test_label_keys_become_terms_of_the_selector(pods: Any) -> None:
    term = {
        "topologyKey": "zone",
        "labelSelector": {"matchLabels": {"app": "x"}},
        "matchLabelKeys": ["hash"],
    }
    obj = pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    obj["metadata"]["labels"] = {"hash": "1"}

    affinity = pods.created(obj)["spec"]["affinity"]["podAffinity"]

    selector = affinity["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]
    assert selector["matchExpressions"] == [{"key": "hash", "operator": "In", "values": ["1"]}]


def terminated(code: int) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]}


@pytest.mark.parametrize(
    ("policy", "code", "allowed"),
    [("Always", 0, True), ("OnFailure", 1, True), ("OnFailure", 0, False), ("Never", 1, False)],
)
def test_a_container_that_ended_for_good_stays_ended(
    pods: Any, policy: str, code: int, allowed: bool
) -> None:
    old = {"spec": {"restartPolicy": policy}, "status": terminated(code)}
    new = {**old, "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}}

    assert pods.status_faults(new, old) == (
        []
        if allowed
        else ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    )


def test_addresses_of_a_pod(pods: Any) -> None:
    old: dict[str, Any] = {"spec": {}, "status": {}}
    good = {
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "hostIP": "1.1.1.1",
        "hostIPs": [{"ip": "1.1.1.1"}],
    }

    assert pods.status_faults({**old, "status": good}, old) == []
    assert pods.status_faults({**old, "status": {"podIPs": [{"ip": "x"}]}}, old) == [
        'status.podIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
    ]
    assert pods.status_faults({**old, "status": {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}]}}, old) == [
        'status.podIPs: Invalid value: [{"ip":"1.1.1.1"},{"ip":"2.2.2.2"}]: may specify no more than one'
        " IP for each IP family"
    ]


def test_a_gated_pod_may_be_narrowed_down(pods: Any) -> None:
    gate = [{"name": "a/b"}]
    old = pods.created(pod(schedulingGates=gate, nodeSelector={"a": "b"}))
    narrower = pods.created(pod(nodeSelector={"a": "b", "c": "d"}))
    wider = pods.created(pod(schedulingGates=gate))

    assert pods.update_faults(narrower, old) == []
    assert pods.update_faults(wider, old) == [
        "spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are allowed (no mutations"
        " or deletions)"
    ]
    assert pods.update_faults(old, pods.created(pod(nodeSelector={"a": "b"}))) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate"
        " 'a/b'"
    ]

"""Expressions of the kinds that Kubernetes' documentation shows, in the places where it shows them."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import (
    BOOL,
    DYN,
    INT,
    STRING,
    Environment,
    list_of,
    map_of,
    object_of,
    to_json,
    type_of,
)
from kplane.api.cel.library.authorizer import AUTHORIZER, RESOURCE_CHECK, Authorizer, Decision
from kplane.api.cel.library.mutation import (
    APPLY_CONFIGURATION,
    JSON_PATCH,
    apply_configuration,
    mutation_type,
)

TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
RESOURCE = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "minReplicas": INTEGER,
                "replicas": INTEGER,
                "maxReplicas": INTEGER,
                "counts": {"type": "object", "additionalProperties": INTEGER},
                "first": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
                "second": {"type": "array", "items": TEXT},
                "env": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"name": TEXT, "value": TEXT}},
                },
                "created": {"type": "string", "format": "date-time"},
                "expires": {"type": "string", "format": "date-time"},
                "ttl": {"type": "string", "format": "duration"},
                "surge": {"x-kubernetes-int-or-string": True},
                "cpu": TEXT,
                "address": TEXT,
            },
        }
    },
}
OBJECT = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "one"},
    "spec": {
        "minReplicas": 1,
        "replicas": 2,
        "maxReplicas": 3,
        "counts": {"Available": 1},
        "first": ["a", "b"],
        "second": ["c"],
        "env": [{"name": "MODE", "value": "fast"}],
        "created": "2024-01-01T00:00:00Z",
        "expires": "2024-01-01T02:00:00Z",
        "ttl": "1h",
        "surge": "25%",
        "cpu": "500m",
        "address": "10.1.2.3",
    },
}


@pytest.mark.parametrize(
    "rule",
    [
        "self.spec.minReplicas <= self.spec.replicas && self.spec.replicas <= self.spec.maxReplicas",
        "'Available' in self.spec.counts && self.spec.counts.Available == 1",
        "(self.spec.first.size() == 0) == (self.spec.second.size() == 0)",
        "self.spec.first.all(e, !(e in self.spec.second))",
        "self.spec.env.filter(e, e.name == 'MODE').all(e, e.value.matches('^[a-z]*$'))",
        "has(self.spec.expires) && self.spec.created + self.spec.ttl < self.spec.expires",
        "type(self.spec.surge) == string ? self.spec.surge == '25%' : self.spec.surge == 42",
        "self.metadata.name == 'one'",
        "size(self.spec.env.filter(e, e.name == 'MODE')) == 1",
        "self.spec.replicas >= oldSelf.spec.replicas",
        "quantity(self.spec.cpu).isLessThan(quantity('1'))",
        "cidr('10.0.0.0/8').containsIP(self.spec.address)",
        "!format.dns1123Label().validate(self.metadata.name).hasValue()",
        "self.spec.first.map(e, e + 'x').join(',') == 'ax,bx'",
        "duration(string(self.spec.ttl)) == self.spec.ttl",
    ],
)
def test_rules_of_custom_resources(rule: str) -> None:
    kind = type_of(RESOURCE, root=True)
    assert kind is not None
    program = Environment({"self": kind, "oldSelf": kind}).compile(rule)
    assert program.evaluate({"self": OBJECT, "oldSelf": OBJECT}) is True


def test_a_message_expression_tells_the_values() -> None:
    kind = type_of(RESOURCE, root=True)
    assert kind is not None
    source = "'replicas is ' + string(self.spec.replicas) + ', at most ' + string(self.spec.maxReplicas)"
    program = Environment({"self": kind}).compile(source, expected=STRING)
    assert program.evaluate({"self": OBJECT}) == "replicas is 2, at most 3"


USER = object_of(
    "kubernetes.UserInfo",
    {"username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING))},
)
GVR = object_of("kubernetes.GroupVersionResource", {"group": STRING, "version": STRING, "resource": STRING})
REQUEST = object_of(
    "kubernetes.AdmissionRequest",
    {
        "userInfo": USER,
        "resource": GVR,
        "operation": STRING,
        "name": STRING,
        "namespace": STRING,
        "dryRun": BOOL,
    },
)
POLICY = Environment(
    {
        "object": DYN,
        "oldObject": DYN,
        "params": DYN,
        "request": REQUEST,
        "namespaceObject": DYN,
        "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
        "variables": object_of("kubernetes.variables", {"environment": STRING, "limit": INT}),
    },
    mutation_type,
)
BINDINGS: dict[str, Any] = {
    "object": {
        "metadata": {"name": "d", "namespace": "prod", "labels": {"app.kubernetes.io/name": "d"}},
        "spec": {
            "replicas": 3,
            "template": {"spec": {"containers": [{"name": "c", "image": "reg/prod/app:1", "ports": []}]}},
        },
    },
    "oldObject": None,
    "params": {"maxReplicas": 5},
    "request": {
        "userInfo": {"username": "alice", "groups": ["devs", "system:authenticated"]},
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "operation": "CREATE",
        "namespace": "prod",
    },
    "namespaceObject": {"metadata": {"labels": {"environment": "prod"}}},
    "authorizer": Authorizer(lambda check: Decision(check.verb == "breakglass")),
    "variables": {"environment": "prod", "limit": 5},
}


@pytest.mark.parametrize(
    "source",
    [
        "object.spec.replicas <= params.maxReplicas && object.spec.replicas <= variables.limit",
        "has(object.metadata.labels) && 'app.kubernetes.io/name' in object.metadata.labels",
        "object.metadata.labels[?'app.kubernetes.io/name'].orValue('') == 'd'",
        "object.spec.template.spec.containers.all(c, c.image.contains('/' + variables.environment + '/'))",
        "object.spec.template.spec.containers.all(c, !has(c.security) || !c.security.privileged)",
        "!has(object.spec.paused) || object.spec.paused == false",
        "request.operation == 'CREATE' || object.spec.replicas == oldObject.spec.replicas",
        "oldObject == null || object.spec == oldObject.spec",
        "request.userInfo.username.startsWith('al') && 'devs' in request.userInfo.groups",
        "!(request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases')",
        "!('system:nodes' in request.userInfo.groups)",
        "request.userInfo.groups.exists(g, g.startsWith('system:'))",
        "request.namespace == 'prod' && object.metadata.namespace == 'prod'",
        "namespaceObject.metadata.labels.environment == variables.environment",
        "authorizer.group('admissionregistration.k8s.io').resource('validatingwebhookconfigurations')"
        ".name('my-webhook.example.com').check('breakglass').allowed()",
        "!authorizer.group('').resource('secrets').namespace(object.metadata.namespace).check('get').allowed()",
        "object.spec.template.spec.containers.map(c, c.name) == ['c']",
        "object.?spec.?replicas.orValue(1) > 1",
        "int(object.spec.replicas) % 2 == 1",
    ],
)
def test_admission_policies_and_match_conditions(source: str) -> None:
    assert POLICY.compile(source).evaluate(BINDINGS) is True


def test_a_sidecar_is_injected_as_an_apply_configuration() -> None:
    source = (
        "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{"
        "name: 'proxy', image: 'proxy:v1', args: ['proxy', 'sidecar'], restartPolicy: 'Always'}]}}"
    )
    made = POLICY.compile(source, expected=APPLY_CONFIGURATION).evaluate(BINDINGS)
    container = {
        "name": "proxy",
        "image": "proxy:v1",
        "args": ["proxy", "sidecar"],
        "restartPolicy": "Always",
    }
    assert apply_configuration(made) == {"spec": {"initContainers": [container]}}


def test_patches_may_depend_on_the_object() -> None:
    source = (
        "has(object.metadata.annotations) ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations',"
        " value: {'by': request.userInfo.username}}]"
    )
    made = POLICY.compile(source, expected=list_of(JSON_PATCH)).evaluate(BINDINGS)
    assert to_json(made) == [{"op": "add", "path": "/metadata/annotations", "value": {"by": "alice"}}]


CLAIMS = Environment({"claims": map_of(STRING, DYN), "user": USER})
TOKEN = {
    "claims": {
        "sub": "u1",
        "email": "a@b.example",
        "roles": "admin,dev",
        "exp": 200,
        "nbf": 100,
        "nested": {"x": True},
    },
    "user": {"username": "ext:u1", "groups": ["admin"], "extra": {"example.com/t": ["v"]}},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("claims.?email_verified.orValue(true) == true", True),
        ("claims.exp - claims.nbf <= 86400", True),
        ("'ext:' + claims.sub", "ext:u1"),
        ("claims.roles.split(',')", ["admin", "dev"]),
        ("has(claims.nested) && claims.nested.x", True),
        ("user.groups.all(group, !group.startsWith('system:'))", True),
        ("user.extra['example.com/t'][0]", "v"),
        ("claims.email.endsWith('@b.example')", True),
        ("claims.sub in ['u1', 'u2']", True),
    ],
)
def test_authentication_configuration(source: str, value: Any) -> None:
    assert CLAIMS.compile(source, expected=None).evaluate(TOKEN) == value

"""What users of kubectl see of admission policies, over TLS."""

from __future__ import annotations

import pytest

from ..kubectl import Kubectl

pytestmark = pytest.mark.slow

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas.example.com}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  validations:
  - expression: object.spec.replicas <= 5
    messageExpression: "'at most 5 replicas, not ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas-everywhere}
spec: {policyName: replicas.example.com, validationActions: [%s]}
"""
MUTATION = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: team}
spec:
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: "Object{metadata: Object.metadata{labels: {'team': 'blue'}}}"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: team}
spec: {policyName: team}
"""
CREATE = ("create", "deployment", "web", "--image=web:1", "--replicas=9")


async def test_a_refusal_is_shown(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POLICY % "Deny")
    await kubectl("get", "validatingadmissionpolicies,validatingadmissionpolicybindings")
    shown = await kubectl(*CREATE, fails=True)
    assert shown == (
        'error: failed to create deployment: deployments.apps "web" is forbidden: ValidatingAdmissionPolicy '
        "'replicas.example.com' with binding 'replicas-everywhere' denied request: at most 5 replicas, "
        "not 9\n"
    )


async def test_a_warning_is_shown_and_the_object_made(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POLICY % "Warn")
    await kubectl("get", "validatingadmissionpolicybindings")
    shown = await kubectl(*CREATE, "--warnings-as-errors", fails=True)
    assert shown == (
        "Warning: Validation failed for ValidatingAdmissionPolicy 'replicas.example.com' with binding "
        "'replicas-everywhere': at most 5 replicas, not 9\nerror: 1 warning received\n"
    )
    assert await kubectl("get", "deployment", "web", "-o", "name") == "deployment.apps/web\n"


async def test_what_is_mutated_is_shown_and_stays(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MUTATION)
    listed = await kubectl("get", "mutatingadmissionpolicies,mutatingadmissionpolicybindings")
    assert "mutatingadmissionpolicy.admissionregistration.k8s.io/team" in listed
    await kubectl("create", "configmap", "x", "--from-literal=a=b")
    assert await kubectl("get", "configmap", "x", "-o", "jsonpath={.metadata.labels}") == '{"team":"blue"}'


async def test_a_policy_that_does_not_compile_says_where(kubectl: Kubectl) -> None:
    faulty = (POLICY % "Deny").replace("object.spec.replicas <= 5", "object.spec.replicas <=")
    shown = await kubectl("apply", "-f", "-", stdin=faulty, fails=True)
    assert 'The ValidatingAdmissionPolicy "replicas.example.com" is invalid' in shown
    assert "spec.validations[0].expression: Invalid value" in shown
    assert "ERROR: <input>:1:24: Syntax error" in shown


async def test_policies_are_explained_and_described(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POLICY % "Deny")
    assert "FIELDS" in await kubectl("explain", "validatingadmissionpolicy.spec.matchConstraints")
    described = await kubectl("describe", "validatingadmissionpolicy", "replicas.example.com")
    assert "at most 5 replicas" in described
    await kubectl("delete", "validatingadmissionpolicy", "replicas.example.com")

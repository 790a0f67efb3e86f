"""How role bindings, certificates, admission configuration and API services are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kplane.api.resource import Object

from .durations import age, human
from .printer import AGE, NAME, Cells, Column, Printer, at, wide
from .templates import selector


def _role_binding(obj: Object, now: datetime) -> Cells:
    role, subjects = obj["roleRef"], obj.get("subjects") or ()
    return [
        obj["metadata"]["name"],
        f"{role['kind']}/{role['name']}",
        age(obj, now),
        _subjects(subjects, "User"),
        _subjects(subjects, "Group"),
        _subjects(subjects, "ServiceAccount"),
    ]


def _subjects(subjects: Sequence[Object], kind: str) -> str:
    chosen = [subject for subject in subjects if subject["kind"] == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in chosen)
    return ", ".join(subject["name"] for subject in chosen)


def _certificate_request(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    seconds = spec.get("expirationSeconds")
    return [
        obj["metadata"]["name"],
        age(obj, now),
        spec.get("signerName") or "<none>",
        spec.get("username", ""),
        "<none>" if seconds is None else human(seconds),
        _certificate_state(obj.get("status") or {}),
    ]


def _certificate_state(status: Object) -> str:
    found = {condition["type"] for condition in status.get("conditions") or ()}
    words = ["Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"]
    if "Failed" in found:
        words.append("Failed")
    if status.get("certificate"):
        words.append("Issued")
    return ",".join(words)


def _trust_bundle(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], at(obj, "spec", "signerName") or "<none>"]


def _webhooks(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], len(obj.get("webhooks") or ()), age(obj, now)]


def _policy(rules: str, obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    text = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"
    return [obj["metadata"]["name"], len(spec.get(rules) or ()), text, age(obj, now)]


def _validating_policy(obj: Object, now: datetime) -> Cells:
    return _policy("validations", obj, now)


def _mutating_policy(obj: Object, now: datetime) -> Cells:
    return _policy("mutations", obj, now)


def _policy_binding(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    return [obj["metadata"]["name"], spec.get("policyName", ""), _param(spec.get("paramRef")), age(obj, now)]


def _param(reference: Object | None) -> str:
    if reference and reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    if reference and reference.get("selector") is not None:
        return selector(reference["selector"])
    return "<unset>"


def _api_service(obj: Object, now: datetime) -> Cells:
    service = at(obj, "spec", "service")
    conditions = at(obj, "status", "conditions", default=())
    available: Object = next((entry for entry in conditions if entry["type"] == "Available"), {})
    text = available.get("status", "Unknown")
    if text != "True" and available:
        text = f"{text} ({available.get('reason', '')})"
    return [
        obj["metadata"]["name"],
        f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local",
        text,
        age(obj, now),
    ]


def _bindings(owner: str, noun: str) -> Printer:
    return Printer(
        (
            NAME,
            Column("Role", field=f"rbac.v1.{owner}.roleRef"),
            AGE,
            wide("Users", description=f"Users in the {noun}"),
            wide("Groups", description=f"Groups in the {noun}"),
            wide("ServiceAccounts", description=f"ServiceAccounts in the {noun}"),
        ),
        _role_binding,
    )


ROLE_BINDING = _bindings("RoleBinding", "roleBinding")
CLUSTER_ROLE_BINDING = _bindings("ClusterRoleBinding", "clusterRoleBinding")
CERTIFICATE_SIGNING_REQUEST = Printer(
    (
        NAME,
        AGE,
        Column("SignerName", field="certificates.v1.CertificateSigningRequestSpec.signerName"),
        Column("Requestor", field="certificates.v1.CertificateSigningRequestSpec.request"),
        Column("RequestedDuration", field="certificates.v1.CertificateSigningRequestSpec.expirationSeconds"),
        Column("Condition", field="certificates.v1.CertificateSigningRequestStatus.conditions"),
    ),
    _certificate_request,
)
CLUSTER_TRUST_BUNDLE = Printer(
    (NAME, Column("SignerName", field="certificates.v1.ClusterTrustBundleSpec.signerName")), _trust_bundle
)
WEBHOOKS = Printer(
    (NAME, Column("Webhooks", "integer", description="Number of webhooks of this configuration"), AGE),
    _webhooks,
)
PARAM_KIND = Column("ParamKind", description="The kind of resources that parameterise this policy")
VALIDATING_POLICY = Printer(
    (NAME, Column("Validations", "integer", description="Number of the policy's rules"), PARAM_KIND, AGE),
    _validating_policy,
)
MUTATING_POLICY = Printer(
    (NAME, Column("Mutations", "integer", description="Number of the policy's rules"), PARAM_KIND, AGE),
    _mutating_policy,
)
POLICY_BINDING = Printer(
    (
        NAME,
        Column("PolicyName", description="The policy that is bound"),
        Column("ParamRef", description="The resource that holds the policy's parameters"),
        AGE,
    ),
    _policy_binding,
)
API_SERVICE = Printer(
    (
        NAME,
        Column("Service", description="The reference to the service that hosts this API endpoint."),
        Column("Available", description="Whether this service is available."),
        AGE,
    ),
    _api_service,
)

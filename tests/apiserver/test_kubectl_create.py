"""`kubectl create KIND` sends protobuf, and makes what `kubectl create -f` makes of the same object."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kubectl import Kubectl

pytestmark = pytest.mark.slow

OWN_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
OWN_SPEC = ("clusterIP", "clusterIPs")
"""What differs between any two objects."""


async def stored(kubectl: Kubectl, kind: str, name: str) -> Any:
    """The object under its name, without what is its own."""
    obj = json.loads(await kubectl("get", kind, name, "-o", "json"))
    uid = obj["metadata"]["uid"]
    for part, fields in (("metadata", OWN_METADATA), ("spec", OWN_SPEC)):
        for field in fields:
            obj.get(part, {}).pop(field, None)
    return json.loads(json.dumps(obj).replace(name, "NAME").replace(uid, "UID"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("namespace", ""),
        ("deployment", "--image=web:1 --replicas=3 --port=80 -- serve --quiet"),
        ("configmap", "--from-literal=color=blue --from-literal=size="),
        ("secret generic", "--from-literal=password=open --type=Opaque"),
        ("service clusterip", "--tcp=80:8080 --tcp=443"),
        ("quota", "--hard=cpu=1500m,memory=2Gi,pods=10 --scopes=NotTerminating"),
        ("serviceaccount", ""),
        ("role", "--verb=get,list --resource=pods,deployments.apps"),
        ("rolebinding", "--role=reader --user=someone --group=people"),
        ("clusterrole", "--verb=get --non-resource-url=/healthz"),
        ("clusterrolebinding", "--clusterrole=reader --serviceaccount=default:robot"),
        ("job", "--image=work:1 -- run"),
        ("cronjob", "--image=work:1 --schedule=*/5_*_*_*_* -- run"),
        ("ingress", "--rule=example.com/shop*=shop:http,tls=certificate --default-backend=web:80"),
        ("priorityclass", "--value=1000 --description=urgent --preemption-policy=Never"),
        ("poddisruptionbudget", "--selector=app=web --min-available=50%"),
    ],
    ids=lambda value: value.split()[0] if value and not value.startswith("-") else "",
)
async def test_objects_sent_in_protobuf_are_those_sent_in_json(
    kubectl: Kubectl, kind: str, options: str
) -> None:
    words = [word.replace("_", " ") for word in options.split()]
    resource = kind.split()[0]

    await kubectl("create", *kind.split(), "first", *words)
    manifest = await kubectl("create", *kind.split(), "second", "--dry-run=client", "-o", "yaml", *words)
    await kubectl("create", "-f", "-", stdin=manifest)

    assert await stored(kubectl, resource, "first") == await stored(kubectl, resource, "second")


async def test_objects_sent_in_protobuf_are_validated(kubectl: Kubectl) -> None:
    wrong = await kubectl("create", "deployment", "Upper", "--image=web:1", fails=True)
    again = await kubectl("create", "namespace", "default", fails=True)
    dry = await kubectl("create", "configmap", "one", "--dry-run=server", "-o", "name")

    assert 'Deployment.apps "Upper" is invalid: metadata.name: Invalid value: "Upper"' in wrong
    assert 'namespaces "default" already exists' in again
    assert dry == "configmap/one\n"
    assert "NotFound" in await kubectl("get", "configmap", "one", fails=True)

"""Every `kubectl create` generator, sent to the server without keeping anything."""

from __future__ import annotations

import pytest

from .cluster import Kubectl

GENERATORS = {
    "clusterrole": "--verb=get --resource=pods",
    "clusterrolebinding": "--clusterrole=view --user=someone",
    "configmap": "--from-literal=a=b",
    "cronjob": "--image=a:1 --schedule=@hourly -- run",
    "deployment": "--image=a:1 --replicas=2",
    "ingress": "--rule=a.example/*=web:80",
    "job": "--image=a:1 -- run",
    "namespace": "",
    "poddisruptionbudget": "--selector=app=web --min-available=1",
    "priorityclass": "--value=10",
    "quota": "--hard=pods=3",
    "role": "--verb=get --resource=pods",
    "rolebinding": "--role=reader --user=someone",
    "secret docker-registry": "--docker-username=me --docker-password=open --docker-server=a.example",
    "secret generic": "--from-literal=a=b",
    "service clusterip": "--tcp=80",
    "service externalname": "--external-name=a.example",
    "service loadbalancer": "--tcp=80",
    "service nodeport": "--tcp=80",
    "serviceaccount": "",
}


@pytest.mark.parametrize("generator", GENERATORS)
async def test_a_dry_run_is_answered_and_keeps_nothing(kubectl: Kubectl, generator: str) -> None:
    kind = generator.split()[0]
    command = ("create", *generator.split(), "made", "--dry-run=server", "-o", "jsonpath={.metadata.uid}")
    before, _, after = GENERATORS[generator].partition("-- ")

    uid = await kubectl(*command, *before.split(), *(("--", after) if after else ()))

    assert len(uid) == 36
    assert "NotFound" in await kubectl("get", kind, "made", fails=True)


async def test_a_role_for_an_unknown_resource_is_refused(kubectl: Kubectl) -> None:
    refusal = await kubectl("create", "role", "made", "--verb=get", "--resource=cars", fails=True)

    assert 'the server doesn\'t have a resource type "cars"' in refusal


async def test_a_token_is_made_for_a_service_account(kubectl: Kubectl) -> None:
    refusal = await kubectl("create", "token", "nobody", fails=True)

    assert 'serviceaccounts "nobody" not found' in refusal


async def test_a_job_from_a_cron_job(kubectl: Kubectl) -> None:
    await kubectl("create", "cronjob", "tick", "--image=a:1", "--schedule=0 0 1 1 *")
    await kubectl("create", "job", "once", "--from=cronjob/tick")

    job = await kubectl.json("get", "job", "once")
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert job["metadata"]["ownerReferences"][0]["name"] == "tick"

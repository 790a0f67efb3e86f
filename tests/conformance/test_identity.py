"""Accounts, their tokens, reviews, certificates, and Events."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ..apiserver.registry.test_certificates import certificate_pem, request_pem
from .api import GO_ACCEPT, MERGE, Api, template

ISSUED = "/var/run/secrets/kubernetes.io/serviceaccount"
TODAY = "2026-01-02T03:04:05.000000Z"


async def token(api: Api, core: str, name: str = "default") -> str:
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
    made = await api.make(f"{core}/serviceaccounts/{name}/token", request)
    text: str = made["status"]["token"]
    return text


async def test_a_token_is_reviewed(api: Api, core: str, namespace: str) -> None:
    review = await api.make(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": await token(api, core)}}
    )
    assert review["status"]["authenticated"] is True
    assert review["status"].get("error", "") == ""
    assert review["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"


async def test_the_issuer_and_its_keys_are_found(api: Api, core: str) -> None:
    found = await api.get("/.well-known/openid-configuration", accept=GO_ACCEPT)
    claims = (await token(api, core)).split(".")[1]
    issuer = base64.urlsafe_b64decode(claims + "==").decode()
    assert f'"iss":"{found["issuer"]}"' in issuer.replace(" ", "")
    assert found["id_token_signing_alg_values_supported"] in (["ES256"], ["RS256"])
    keys = await api("GET", "/openid/v1/jwks")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    # Accounts may read both; whom else the cluster lets is its own business.
    binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:service-account-issuer-discovery"
    assert (await api.get(binding))["subjects"][0]["name"] == "system:serviceaccounts"


@pytest.mark.parametrize("account", [None, True, False])
@pytest.mark.parametrize("pod", [None, True, False])
async def test_tokens_are_mounted_unless_pod_or_account_opt_out(
    api: Api, core: str, account: bool | None, pod: bool | None
) -> None:
    field = "automountServiceAccountToken"
    made: dict[str, Any] = {"metadata": {"name": "mounting"}}
    await api.make(f"{core}/serviceaccounts", made | ({} if account is None else {field: account}))
    spec = {"serviceAccountName": "mounting"} | ({} if pod is None else {field: pod})
    found = await api.make(f"{core}/pods", template({}, **spec) | {"metadata": {"name": "p"}})
    mounts = [mount["mountPath"] for mount in found["spec"]["containers"][0].get("volumeMounts", ())]
    wanted = pod if pod is not None else account is not False
    assert (ISSUED in mounts) is wanted


async def test_the_root_certificates_come_back(api: Api, core: str) -> None:
    path = f"{core}/configmaps/kube-root-ca.crt"
    before = await api.get(path)
    await api.delete(path)
    await api.until(path, lambda found: found["metadata"]["uid"] != before["metadata"]["uid"])
    await api.put(path, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}})
    await api.until(path, lambda found: found["data"] == before["data"])


async def test_an_account_lives(api: Api, core: str) -> None:
    accounts, label = f"{core}/serviceaccounts", {"labelSelector": "test-serviceaccount-static=true"}
    name = "testserviceaccount"
    labels = {"test-serviceaccount-static": "true"}
    async with api.watch(accounts, **label) as watch:
        await api.make(accounts, {"metadata": {"name": name, "labels": labels}})
        await watch.until("ADDED")
        # A whole object of Go's as the patch: its empty time takes nothing away.
        body = {"metadata": {"creationTimestamp": None}, "automountServiceAccountToken": False}
        patched = await api.patch(f"{accounts}/{name}", body)
        assert patched["metadata"]["creationTimestamp"]
        assert patched["automountServiceAccountToken"] is False
        await watch.until("MODIFIED")
        await api.change(f"{accounts}/{name}", lambda found: found.update(automountServiceAccountToken=True))
        seen = await watch.until("MODIFIED")
        assert seen["automountServiceAccountToken"] is True
        assert name in await api.names("/api/v1/serviceaccounts", **label)
        await api.delete(accounts, label)
        await watch.until("DELETED")


async def test_access_is_reviewed_for_others_and_oneself(api: Api, core: str, namespace: str) -> None:
    group = "/apis/authorization.k8s.io/v1"
    user = f"system:serviceaccount:{namespace}:default"
    asks = {"verb": "list", "resource": "configmaps", "namespace": namespace}
    review = {"spec": {"resourceAttributes": asks, "user": user}}
    assert (await api.make(f"{group}/subjectaccessreviews", review))["status"]["allowed"] is False
    local = f"{group}/namespaces/{namespace}/localsubjectaccessreviews"
    # As Go's client sends it: the namespace of the object is the one of its request.
    assert (await api.make(local, review))["status"]["allowed"] is False
    mine = await api.make(f"{group}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asks}})
    assert mine["status"]["allowed"] is True
    elsewhere = {"spec": review["spec"] | {"resourceAttributes": asks | {"namespace": "other"}}}
    assert (await api("POST", local, elsewhere)).code in (400, 422)


async def test_certificate_requests_have_every_operation(api: Api) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    label = {"labelSelector": "e2e-csr=one"}
    pem = request_pem()
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "example.com/e2e-one",
        "usages": ["digital signature", "key encipherment", "server auth"],
        "expirationSeconds": 3600,
    }
    resources = {each["name"] for each in (await api.get("/apis/certificates.k8s.io/v1"))["resources"]}
    kinds = {"", "/approval", "/status"}
    assert {f"certificatesigningrequests{each}" for each in kinds} <= resources
    made = await api.make(
        path, {"metadata": {"generateName": "e2e-", "labels": {"e2e-csr": "one"}}, "spec": spec}
    )
    one = f"{path}/{made['metadata']['name']}"
    async with api.watch(path, **label, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await api.patch(one, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        await api.change(one, lambda found: found["metadata"]["annotations"].update(updated="true"))
        await watch.until("MODIFIED", lambda found: found["metadata"]["annotations"].get("updated"))

        first = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
        patch = {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [first]}}
        patched = await api.patch(f"{one}/approval", patch, MERGE)
        assert patched["status"]["conditions"][0]["type"] == "ApprovalPatch"
        assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
        second = {"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
        approved = await api.change(
            f"{one}/approval", lambda found: found["status"]["conditions"].append(second)
        )
        assert len(approved["status"]["conditions"]) == 2

        certificate = base64.b64encode(certificate_pem()).decode()
        patch = {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"certificate": certificate},
        }
        issued = await api.patch(f"{one}/status", patch, MERGE)
        assert issued["status"]["certificate"] == certificate
        assert issued["metadata"]["annotations"]["patchedstatus"] == "true"
        third = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
        done = await api.change(f"{one}/status", lambda found: found["status"]["conditions"].append(third))
        assert len(done["status"]["conditions"]) == 3
        await api.delete(one)
        await watch.until("DELETED")
    await api.make(path, {"metadata": {"generateName": "e2e-", "labels": {"e2e-csr": "one"}}, "spec": spec})
    await api.delete(path, label)
    assert not await api.items(path, **label)


async def test_core_events_live(api: Api, core: str, namespace: str) -> None:
    path, label = f"{core}/events", {"labelSelector": "testevent-constant=true"}
    event = {
        "metadata": {"name": "event-test", "labels": {"testevent-constant": "true"}},
        "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
        "involvedObject": {"namespace": namespace},
    }  # fmt: skip
    await api.make(path, event)
    assert "event-test" in await api.names("/api/v1/events", **label)
    patched = await api.patch(f"{path}/event-test", {"message": "This is a test event - patched"})
    assert patched["message"] == "This is a test event - patched"
    series = {"count": 100, "lastObservedTime": TODAY}
    updated = await api.change(f"{path}/event-test", lambda found: found.update(count=100, series=series))
    assert (updated["count"], updated["series"]["count"]) == (100, 100)
    await api.delete(f"{path}/event-test")
    assert not await api.names(path, **label)


async def test_events_live(api: Api, core: str, namespace: str) -> None:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    label = {"labelSelector": "testevent-set=true"}

    def event(name: str) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "labels": {"testevent-set": "true"}},
            "regarding": {"namespace": namespace}, "eventTime": TODAY, "note": f"This is {name}",
            "action": "Do", "reason": "Test", "type": "Normal",
            "reportingController": "test-controller", "reportingInstance": "test-node",
        }  # fmt: skip

    await api.make(path, event("event-test"))
    everywhere = "/apis/events.k8s.io/v1/events"
    assert await api.names(everywhere, **label) == {"event-test"}
    by = {"fieldSelector": "reportingController=test-controller"}
    assert await api.names(path, **by) == {"event-test"}
    assert await api.names(f"{core}/events", fieldSelector="source=test-controller") == {"event-test"}
    by = {"fieldSelector": "reportingComponent=test-controller"}
    assert await api.names(f"{core}/events", **by) == {"event-test"}
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:05:05.000001Z"}
    patched = await api.patch(f"{path}/event-test", {"series": series})
    assert patched["series"] == series
    updated = await api.change(
        f"{path}/event-test",
        lambda found: found.update(series={"count": 100, "lastObservedTime": TODAY}),
    )
    assert updated["series"]["count"] == 100
    shown = await api.get(f"{core}/events/event-test")
    assert (shown["message"], shown["reportingComponent"]) == ("This is event-test", "test-controller")
    await api.delete(f"{path}/event-test")
    for number in range(3):
        await api.make(path, event(f"test-event-{number}"))
    assert len(await api.items(path, **label)) == 3
    await api.delete(path, label)
    assert not await api.items(path, **label)

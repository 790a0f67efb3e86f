"""What the audit log says of requests, asked over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.apiserver.auth.serviceaccounts.legacy import legacy_claims
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing.waiting import eventually

from ..auth.conftest import ACCOUNTS, claims, forged, pem
from ..conftest import Api, configmap
from ..proxying.backend import raw
from ..proxying.conftest import make_pod
from ..webhookserver import Received, Reply, WebhookServer
from .conftest import METADATA, Audited, Serve

MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
VALUE = "c2VjcmV0LXZhbHVl"


def level(name: str, **more: Any) -> dict[str, Any]:
    return {"rules": [{"level": name, **more}]}


async def test_a_request_has_an_event_when_it_comes_and_one_when_it_ends(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        answer = await audited.api("POST", MAPS, configmap())

        received, complete = audited.events(resource="configmaps")

    assert [received["stage"], complete["stage"]] == ["RequestReceived", "ResponseComplete"]
    assert received["auditID"] == complete["auditID"] == answer.headers["audit-id"]
    assert received["requestReceivedTimestamp"] == received["stageTimestamp"]
    assert complete["stageTimestamp"] >= received["stageTimestamp"]
    assert "responseStatus" not in received
    assert {key: complete[key] for key in ("kind", "apiVersion", "level", "verb", "requestURI")} == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "verb": "create",
        "requestURI": MAPS,
    }
    assert complete["user"] == {
        "username": "admin",
        "uid": "1",
        "groups": ["system:masters", "system:authenticated"],
    }
    assert complete["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "settings",
        "apiVersion": "v1",
    }
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"] == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "",
    }
    assert not {"requestObject", "responseObject"} & complete.keys()


async def test_an_asked_for_id_is_that_of_the_event_and_of_the_answer(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        answer = await audited.api.transport.request(
            "GET", MAPS, headers={"audit-id": "from-the-client"}, query={}, body=b""
        )

        events = audited.events(resource="configmaps")

    assert answer.headers["audit-id"] == "from-the-client"
    assert {event["auditID"] for event in events} == {"from-the-client"}


async def test_a_server_without_audit_answers_with_the_asked_for_id_as_well(api: Api) -> None:
    answer = await api.transport.request("GET", MAPS, headers={"audit-id": "mine"}, query={}, body=b"")

    assert answer.headers["audit-id"] == "mine"


async def test_bodies_are_recorded_as_far_as_the_level_says(serve: Serve) -> None:
    async with serve(level("Request")) as audited:
        await audited.api("POST", MAPS, configmap(color="red"))

        event = audited.complete("configmaps")

    assert event["requestObject"]["data"] == {"color": "red"}
    assert (event["requestObject"]["kind"], event["requestObject"]["apiVersion"]) == ("ConfigMap", "v1")
    assert "responseObject" not in event


async def test_defaults_of_the_request_are_recorded_and_what_admission_adds_is_not(serve: Serve) -> None:
    async with serve(level("Request")) as audited:
        spec = {"containers": [{"name": "c", "image": "web"}]}
        await audited.api.make("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})

        event = audited.complete("pods")

    assert event["requestObject"]["spec"]["restartPolicy"] == "Always"
    assert "tolerations" not in event["requestObject"]["spec"]


async def test_the_answer_is_recorded_at_the_highest_level(serve: Serve) -> None:
    async with serve(level("RequestResponse")) as audited:
        await audited.api("POST", MAPS, configmap(color="red"), pretty="true")

        event = audited.complete("configmaps")

    assert event["responseObject"]["metadata"]["uid"]
    assert "managedFields" in event["responseObject"]["metadata"]


async def test_managed_fields_are_left_out_where_the_policy_wants_it(serve: Serve) -> None:
    policy = {"omitManagedFields": True, "rules": [{"level": "RequestResponse"}]}
    async with serve(policy) as audited:
        made = await audited.api.make(MAPS, configmap())
        await audited.api("PUT", f"{MAPS}/settings", made)
        await audited.api("GET", MAPS)

        create, update, listed = audited.events(stage="ResponseComplete", resource="configmaps")

    assert "managedFields" not in create["responseObject"]["metadata"]
    assert "managedFields" not in update["requestObject"]["metadata"]
    assert all("managedFields" not in item["metadata"] for item in listed["responseObject"]["items"])
    assert update["objectRef"]["uid"] == made["metadata"]["uid"]
    assert update["objectRef"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param({"data": {"color": "red"}}, "application/merge-patch+json", id="merge"),
        pytest.param(
            [{"op": "replace", "path": "/data/color", "value": "red"}],
            "application/json-patch+json",
            id="json",
        ),
    ],
)
async def test_a_patch_is_recorded_as_it_came(serve: Serve, body: Any, content_type: str) -> None:
    async with serve(level("Request", verbs=["patch"])) as audited:
        await audited.api.make(MAPS, configmap())
        await audited.api("PATCH", f"{MAPS}/settings", body, content_type=content_type)

        assert audited.complete("configmaps")["requestObject"] == body


async def test_an_applied_yaml_configuration_is_recorded_as_json(serve: Serve) -> None:
    async with serve(level("Request")) as audited:
        body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: red}\n"
        query = {"fieldManager": "tester"}
        await audited.api(
            "PATCH", f"{MAPS}/settings", body, content_type="application/apply-patch+yaml", **query
        )

        assert audited.complete("configmaps")["requestObject"]["data"] == {"color": "red"}


async def test_options_of_a_deletion_are_recorded(serve: Serve) -> None:
    async with serve(level("Request", verbs=["delete"])) as audited:
        await audited.api.make(MAPS, configmap())
        await audited.api("DELETE", f"{MAPS}/settings", {"propagationPolicy": "Background"})

        event = audited.complete("configmaps")

    assert event["requestObject"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/__internal",
        "propagationPolicy": "Background",
    }
    assert event["responseStatus"]["status"] == "Success"
    assert event["responseStatus"]["details"]["name"] == "settings"


async def test_why_a_request_failed_is_recorded(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        answer = await audited.api("GET", f"{MAPS}/missing")

        status = audited.complete("configmaps")["responseStatus"]

    assert status == {
        "metadata": {},
        "status": "Failure",
        "message": answer.body["message"],
        "reason": "NotFound",
        "details": answer.body["details"],
        "code": 404,
    }


async def test_a_watch_has_an_event_when_its_answer_starts(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        await audited.api.make(MAPS, configmap())
        await audited.api.events(MAPS, 1)
        async with asyncio.timeout(30):
            while len(events := [e for e in audited.events(uri=MAPS) if e["verb"] == "watch"]) < 3:
                await asyncio.sleep(0)

    assert [event["stage"] for event in events] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert events[1]["responseStatus"] == {"metadata": {}, "code": 200}


async def test_stages_that_the_policy_omits_have_no_event(serve: Serve) -> None:
    policy = {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
    async with serve(policy) as audited:
        await audited.api("GET", MAPS)

        assert [event["stage"] for event in audited.events(resource="configmaps")] == ["ResponseComplete"]


async def test_whoever_is_impersonated_is_recorded_beside_who_asks(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        headers = {"impersonate-user": "jane", "impersonate-group": "devs"}
        await audited.api.transport.request("GET", MAPS, headers=headers, query={}, body=b"")

        event = audited.complete("configmaps")

    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}
    assert event["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}


async def test_a_forbidden_request_is_recorded_with_the_decision(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        stranger = AsgiTransport(audited.server.app)
        await stranger.request("GET", "/apis", headers={}, query={}, body=b"")

        (event,) = audited.events(stage="ResponseComplete", uri="/apis")

    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["user"]["username"] == "system:anonymous"


async def test_bad_credentials_have_one_event_without_a_user_and_without_the_credential(
    serve: Serve,
) -> None:
    async with serve(METADATA) as audited:
        answer = await Api(audited.server.app, "no-such-token")("GET", MAPS)

        (event,) = audited.events(resource="configmaps")
        text = audited.path.read_text()

    assert answer.code == 401
    assert event["stage"] == "ResponseStarted"
    assert event["user"] == {}
    assert event["responseStatus"] == {
        "metadata": {},
        "message": "Authentication failed, attempted: bearer",
        "code": 401,
    }
    assert "no-such-token" not in text


async def test_proxies_and_agents_are_recorded_and_long_agents_cut(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        headers = {
            "x-forwarded-for": "192.0.2.1, nonsense, 2001:db8::1",
            "x-real-ip": "192.0.2.9",
            "user-agent": "a" * 2000,
        }
        await audited.api.transport.request("GET", MAPS, headers=headers, query={}, body=b"")

        event = audited.complete("configmaps")

    assert event["sourceIPs"][:3] == ["192.0.2.1", "2001:db8::1", "192.0.2.9"]
    assert event["userAgent"] == "a" * 1024 + "...TRUNCATED"


async def test_a_value_of_a_secret_is_not_in_events_of_its_metadata(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        await audited.api("POST", SECRETS, {"metadata": {"name": "s"}, "data": {"k": VALUE}})
        await audited.api("POST", SECRETS, {"metadata": {"name": "S!"}, "data": {"k": VALUE}})
        await audited.api("POST", SECRETS, {"metadata": {"name": "t"}, "data": VALUE})
        await audited.api("POST", SECRETS, {"metadata": {"name": "t"}, "data": {"k": f"{VALUE}!"}})
        merge = "application/merge-patch+json"
        await audited.api("PATCH", f"{SECRETS}/s", {"data": {"k": VALUE}}, content_type=merge)
        await audited.api("PATCH", f"{SECRETS}/s", {"data": VALUE}, content_type=merge)
        await audited.api("GET", SECRETS)
        text = audited.path.read_text()

    assert text.count('"secrets"') > 10
    assert VALUE not in text
    assert "secret-value" not in text


async def test_the_log_is_its_owners_alone(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        mode = audited.path.stat().st_mode

    assert stat.S_IMODE(mode) == 0o600


async def test_the_legacy_format_is_a_line_of_text(serve: Serve) -> None:
    async with serve(METADATA, format="legacy") as audited:
        answer = await audited.api("GET", MAPS)

        line = audited.path.read_text().splitlines()[-1]

    _, _, rest = line.partition(" AUDIT: ")
    assert rest == (
        f'id="{answer.headers["audit-id"]}" stage="ResponseComplete" ip="{_address(rest)}" method="list" '
        'user="admin" groups="\\"system:masters\\",\\"system:authenticated\\"" as="<self>" '
        'asgroups="<lookup>" user-agent="" namespace="default" '
        f'uri="{MAPS}" response="200"'
    )


def _address(line: str) -> str:
    return line.partition('ip="')[2].partition('"')[0]


async def test_batched_events_are_all_written_when_the_server_closes(serve: Serve) -> None:
    async with serve(METADATA, mode="batch") as audited:
        for _ in range(50):
            await audited.api("GET", MAPS)
    events = audited.events(stage="ResponseComplete", resource="configmaps")

    assert len(events) == 50


async def test_events_and_levels_are_counted(serve: Serve) -> None:
    async with serve(level("Metadata", resources=[{"group": "", "resources": ["configmaps"]}])) as audited:
        await audited.api("GET", MAPS)
        await audited.api("GET", SECRETS)
        text = (await audited.api("GET", "/metrics")).body.decode()

    assert "apiserver_audit_event_total 2.0" in text
    assert 'apiserver_audit_level_total{level="Metadata"} 1.0' in text
    assert 'apiserver_audit_level_total{level="None"} 2.0' in text
    assert "apiserver_audit_requests_rejected_total 0.0" in text


async def test_what_admission_notes_is_in_the_event(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        namespace = {"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/audit": "restricted"}}}
        await audited.api.make("/api/v1/namespaces", namespace)
        spec = {"containers": [{"name": "c", "image": "web"}]}
        await audited.api("POST", "/api/v1/namespaces/n/pods", {"metadata": {"name": "p"}, "spec": spec})

        notes = audited.complete("pods")["annotations"]

    assert notes["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
    assert notes["pod-security.kubernetes.io/audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must'
    )


async def test_who_is_exempt_from_pod_security_is_noted(
    serve: Serve, config: ApiServerConfig, tmp_path: Path
) -> None:
    file = tmp_path / "admission.yaml"
    configured = {"exemptions": {"namespaces": ["free"]}}
    plugin = {"name": "PodSecurity", "configuration": configured}
    kind = {"kind": "AdmissionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}
    file.write_text(json.dumps(kind | {"plugins": [plugin]}))
    async with serve(METADATA, server=replace(config, admission_control_config_file=file)) as audited:
        await audited.api.make("/api/v1/namespaces", {"metadata": {"name": "free"}})
        spec = {"hostIPC": True, "containers": [{"name": "c", "image": "web"}]}
        await audited.api.make("/api/v1/namespaces/free/pods", {"metadata": {"name": "p"}, "spec": spec})

        notes = audited.complete("pods")["annotations"]

    assert notes["pod-security.kubernetes.io/exempt"] == "namespace"


async def test_a_line_is_whole_json_whatever_the_client_sends(serve: Serve) -> None:
    async with serve(level("RequestResponse")) as audited:
        headers = {"user-agent": 'x"\\\x7f\xe4'}
        await audited.api.transport.request("GET", f"{MAPS}/%0a%22", headers=headers, query={}, body=b"")
        await audited.api("POST", MAPS, b'{"metadata": {"name": "a"},\n "data": {"k": "\\n"}}')
        for body in (b'{"data": {"k": "\xff"}}', b"{" * 10_000, b'{"a":\n1}', b"", b"nonsense\n\n"):
            for kind in ("merge-patch+json", "json-patch+json", "apply-patch+yaml"):
                content_type = f"application/{kind}"
                await audited.api("PATCH", f"{MAPS}/a", body, content_type=content_type, fieldManager="m")

        lines = audited.path.read_text().splitlines()

    assert all(isinstance(json.loads(line), dict) for line in lines)


async def test_patches_of_webhooks_are_noted_where_bodies_are(
    config: ApiServerConfig, tmp_path: Path, serve: Serve
) -> None:
    async def labelling(received: Received) -> Reply:
        patch = base64.b64encode(b'[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]').decode()
        response = {
            "uid": received.body["request"]["uid"],
            "allowed": True,
            "patch": patch,
            "patchType": "JSONPatch",
            "auditAnnotations": {"why": "because"},
        }
        head = {key: received.body[key] for key in ("kind", "apiVersion")}
        return Reply(body=json.dumps(head | {"response": response}).encode())

    rules = [
        {"level": "Request", "resources": [{"group": "", "resources": ["configmaps"]}]},
        {"level": "Metadata"},
    ]
    async with WebhookServer(tmp_path / "pki", labelling) as hook, serve({"rules": rules}) as audited:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        webhook = {
            "name": "hook.example.com",
            "clientConfig": hook.by_url(),
            "rules": [rule | {"resources": ["configmaps", "secrets"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        await audited.api.make(path, {"metadata": {"name": "m"}, "webhooks": [webhook]})
        await audited.api("GET", f"{path}/m")
        await audited.api.make(MAPS, configmap())
        await audited.api.make(SECRETS, {"metadata": {"name": "s"}, "data": {"k": VALUE}})

        shown = audited.complete("configmaps")["annotations"]
        hidden = audited.complete("secrets")["annotations"]

    mutation = '{"configuration":"m","webhook":"hook.example.com","mutated":true}'
    assert shown["mutation.webhook.admission.k8s.io/round_0_index_0"] == mutation
    assert hidden["mutation.webhook.admission.k8s.io/round_0_index_0"] == mutation
    assert shown["hook.example.com/why"] == "because"
    assert json.loads(shown["patch.webhook.admission.k8s.io/round_0_index_0"]) == {
        "configuration": "m",
        "webhook": "hook.example.com",
        "patch": [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}],
        "patchType": "JSONPatch",
    }
    assert "patch.webhook.admission.k8s.io/round_0_index_0" not in hidden


async def test_a_fault_of_the_server_is_recorded_without_what_it_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: Any) -> None:
        raise KeyError(VALUE)

    async with serve(METADATA) as audited:
        monkeypatch.setattr(audited.server.admission, "admit", break_down)
        answer = await audited.api("POST", SECRETS, {"metadata": {"name": "s"}, "data": {"k": VALUE}})

        (event,) = audited.events(stage="Panic")
        text = audited.path.read_text()

    assert answer.code == 500
    assert VALUE not in json.dumps(answer.body)
    assert event["responseStatus"] == {
        "metadata": {},
        "status": "Failure",
        "message": "APIServer panic'd: KeyError",
        "reason": "InternalError",
        "code": 500,
    }
    assert VALUE not in text


async def test_a_deprecated_resource_is_noted(serve: Serve) -> None:
    async with serve(METADATA) as audited:
        await audited.api("GET", "/api/v1/namespaces/default/endpoints")

        assert audited.complete("endpoints")["annotations"]["k8s.io/deprecated"] == "true"


async def test_which_token_was_issued_is_noted_and_never_the_token(
    serve: Serve, config: ApiServerConfig, tmp_path: Path
) -> None:
    key = tmp_path / "sa.key"
    key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=key)
    authentication = AuthenticationSettings(service_accounts=accounts)
    async with serve(METADATA, server=replace(config, authentication=authentication)) as audited:
        await audited.api.make(ACCOUNTS, {"metadata": {"name": "robot"}})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await audited.api("POST", f"{ACCOUNTS}/robot/token", body)
        token = answer.body["status"]["token"]

        events = audited.events(stage="ResponseComplete", resource="serviceaccounts")
        text = audited.path.read_text()

    notes = events[-1]["annotations"]
    assert notes["authentication.kubernetes.io/issued-credential-id"] == f"JTI={claims(token)['jti']}"
    assert token not in text


async def test_a_connection_that_leaves_http_is_answered_with_101(serve: Serve) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
        await reader.read()

    async with (
        serve(METADATA) as audited,
        Serving(audited.server.app, ServingConfig(address="127.0.0.1", port=0)) as serving,
        raw(backend) as port,
        asyncio.timeout(10),
    ):
        await make_pod(audited.api, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
        head = ["GET /api/v1/namespaces/default/pods/web/proxy/ HTTP/1.1", "Host: here"]
        head += ["Authorization: Bearer secret", "Connection: Upgrade", "Upgrade: shout", "", ""]
        writer.write("\r\n".join(head).encode())
        await reader.readuntil(b"\r\n\r\n")
        open_events = [event for event in audited.events() if event["verb"] == "get"]
        writer.close()
        await eventually(lambda: closed(audited))
        (complete,) = (event for event in audited.events(stage="ResponseComplete") if event["verb"] == "get")

    assert [event["stage"] for event in open_events] == ["RequestReceived", "ResponseStarted"]
    assert open_events[1]["responseStatus"] == {"metadata": {}, "code": 101}
    assert complete["responseStatus"]["code"] == 101
    assert complete["sourceIPs"] == ["127.0.0.1"]


async def closed(audited: Audited) -> bool:
    return any(event["verb"] == "get" for event in audited.events(stage="ResponseComplete"))


async def test_uses_of_old_tokens_are_noted(serve: Serve, config: ApiServerConfig, tmp_path: Path) -> None:
    key = tmp_path / "sa.key"
    private = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(pem(private))
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=key)
    authentication = AuthenticationSettings(service_accounts=accounts)
    async with serve(METADATA, server=replace(config, authentication=authentication)) as audited:
        account = await audited.api.make(ACCOUNTS, {"metadata": {"name": "robot"}})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        fresh = (await audited.api("POST", f"{ACCOUNTS}/robot/token", body)).body["status"]["token"]
        said = claims(fresh)
        private_claims = said["kubernetes.io"] | {"warnafter": said["iat"] - 100}
        stale = forged(fresh, private, **{"kubernetes.io": private_claims})
        assert (await Api(audited.server.app, stale)("GET", "/api")).code == 200
        (event,) = audited.events(stage="ResponseComplete", uri="/api")[-1:]

        meta = {"name": "t", "annotations": {"kubernetes.io/service-account.name": "robot"}}
        made = await audited.api.make(
            SECRETS, {"metadata": meta, "type": "kubernetes.io/service-account-token"}
        )
        legacy = signed(legacy_claims(account, made), private)
        token = {"data": {"token": base64.b64encode(legacy.encode()).decode()}}
        merge = "application/merge-patch+json"
        await audited.api("PATCH", f"{SECRETS}/t", token, content_type=merge)
        old = Api(audited.server.app, legacy)
        assert (await old("GET", "/apis")).code == 200
        (used,) = audited.events(stage="ResponseComplete", uri="/apis")[-1:]
        label = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}}
        await audited.api("PATCH", f"{SECRETS}/t", label, content_type=merge)
        assert (await old("GET", "/apis")).code == 401
        (refused,) = audited.events(stage="ResponseStarted", uri="/apis")

    prefix = "authentication.k8s.io"
    told = event["annotations"][f"{prefix}/stale-token"]
    assert told.startswith("subject: system:serviceaccount:default:robot, seconds after warning threshold: 1")
    assert used["annotations"][f"{prefix}/legacy-token"] == "system:serviceaccount:default:robot"
    assert used["annotations"][f"{prefix}/legacy-token-manual-secret"] == "t"
    assert refused["annotations"] == {f"{prefix}/legacy-token-invalidated": "t/default"}


def signed(content: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    return jwt.PyJWS().encode(json.dumps(content).encode(), key, algorithm="ES256")

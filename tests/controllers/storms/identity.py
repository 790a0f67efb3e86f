"""Stories of accounts, certificates and tokens."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api import bootstraptokens as tokens
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, Secret
from kplane.client.codec import encode
from kplane.client.transport import Relay, Response
from kplane.controllers.bootstrap import CLUSTER_INFO
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.signing import SERVING
from kplane.controllers.legacytokencleaner import LAST_USED, TRACKING
from kplane.controllers.root_ca import CONFIG_MAP
from kplane.controllers.serviceaccount import ACCOUNTS
from kplane.controllers.serviceaccounttoken import ACCOUNT_NAME, ACCOUNT_UID, TYPE, WHOLE_ACCOUNTS
from kplane.controllers.trustbundlepublisher import BUNDLES, SIGNER, bundle_name
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_namespace, make_object

from ..certificates.requests import APPROVED, SERVING_USAGES, authority, config, make_request
from .scenario import Scenario


def _add_namespace(cluster: FakeCluster, step: int) -> None:
    """Two more namespaces; somebody deletes what the first one was given."""
    if step in (1, 3):
        cluster.load(make_namespace(f"more-{step}"))
    if step == 4:
        for path in ("serviceaccounts/default", f"configmaps/{CONFIG_MAP}"):
            group = ("", path.partition("/")[0])
            if cluster.server.state.get(group, Key("default", path.partition("/")[2])):
                cluster.server.handle("DELETE", f"/api/v1/namespaces/default/{path}", {}, b"", "")


ACCOUNT = Scenario(
    controllers=["serviceaccount-controller"],
    objects=lambda: [make_namespace()],
    world=_add_namespace,
    outcome=lambda cluster: sorted(found.metadata.namespace for found in cluster.list(ACCOUNTS)),
    expected=["default", "more-1", "more-3"],
)


def _with_root(cluster: FakeCluster, folder: Path) -> Mapping[str, Any]:
    path = folder / "root.crt"
    path.write_text("CERTIFICATE")
    return {"root_ca_file": path}


ROOT_CA = Scenario(
    controllers=["root-ca-certificate-publisher-controller"],
    objects=lambda: [make_namespace()],
    world=_add_namespace,
    outcome=lambda cluster: {
        found.metadata.namespace: found.data["ca.crt"]
        for found in cluster.list(ConfigMap)
        if found.metadata.name == CONFIG_MAP
    },
    expected=dict.fromkeys(["default", "more-1", "more-3"], "CERTIFICATE"),
    options=_with_root,
)


def _info() -> Object:
    data = {"kubeconfig": "apiVersion: v1\nkind: Config\n"}
    return make_object("v1", "ConfigMap", CLUSTER_INFO.name, CLUSTER_INFO.namespace, data=data)


def _token(identity: str) -> Object:
    said = tokens.TokenSecret(identity, "0123456789abcdef", usages=tokens.USAGES)
    data = {key: base64.b64encode(value.encode()).decode() for key, value in tokens.secret_data(said).items()}
    name = tokens.Token(identity, said.secret).secret_name
    return make_object("v1", "Secret", name, "kube-system", type=tokens.SECRET_TYPE, data=data)


def _add_token(cluster: FakeCluster, step: int) -> None:
    if step == 3:
        cluster.load(_token("zzzzzz"))


SIGNING_INFO = Scenario(
    controllers=["bootstrap-signer-controller"],
    objects=lambda: [_info(), _token("abcdef")],
    world=_add_token,
    outcome=lambda cluster: [sorted(found.data) for found in cluster.list(ConfigMap)],
    expected=[["jws-kubeconfig-abcdef", "jws-kubeconfig-zzzzzz", "kubeconfig"]],
)


class Granting(Relay):
    """A transport in front of a cluster in which everybody may do everything."""

    async def request(self, method: str, path: str, **options: Any) -> Response:
        if path.endswith("/subjectaccessreviews"):
            review = msgspec.json.decode(options["body"])
            return Response(201, {}, encode(review | {"status": {"allowed": True}}))
        return await super().request(method, path, **options)


def _decisions(cluster: FakeCluster) -> Any:
    return [[entry.type for entry in found.status.conditions] for found in cluster.list(SigningRequest)]


APPROVAL = Scenario(
    controllers=["certificatesigningrequest-approving-controller"],
    objects=lambda: [make_request("one"), make_request("two")],
    front=Granting,
    outcome=_decisions,
    expected=[["Approved"], ["Approved"]],
    steps=4,
)


SERVING_REQUEST = {
    "signer": SERVING, "usages": SERVING_USAGES, "username": "system:node:worker",
    "dns_names": ["worker"], "ips": ["192.0.2.2"],
}  # fmt: skip


def _tell_addresses(cluster: FakeCluster, step: int) -> None:
    """The node asks before it has told its addresses."""
    if step == 2:
        node = make_object("v1", "Node", "worker")
        addresses = [{"type": "InternalIP", "address": "192.0.2.2"}]
        cluster.load(node | {"status": {"addresses": addresses}})


SERVING_APPROVAL = Scenario(
    controllers=["kubelet-serving-approving-controller"],
    objects=lambda: [make_request("one", **SERVING_REQUEST)],
    world=_tell_addresses,
    outcome=_decisions,
    expected=[["Approved"]],
    steps=4,
)


def _with_authority(cluster: FakeCluster, folder: Path) -> Mapping[str, Any]:
    authority(folder, cluster.clock)
    return {"signing_files": config(folder).signing_files}


SIGNING = Scenario(
    controllers=["certificatesigningrequest-signing-controller"],
    objects=lambda: [make_request("one", status=APPROVED), make_request("two", status=APPROVED)],
    outcome=lambda cluster: [bool(found.status.certificate) for found in cluster.list(SigningRequest)],
    expected=[True, True],
    options=_with_authority,
    steps=4,
)

_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    .decode()
)
"""Of this run."""


def _with_key(cluster: FakeCluster, folder: Path) -> Mapping[str, Any]:
    path = folder / "sa.key"
    path.write_text(_KEY)
    return {"service_account_private_key_file": path}


def _account(name: str, *secrets: str) -> Object:
    return make_object(
        "v1", "ServiceAccount", name, "default", secrets=[{"name": secret} for secret in secrets]
    )


def _holder(account: str, **labels: str) -> Object:
    """The Secret of a token."""
    return make_object(
        "v1", "Secret", f"{account}-token", "default", type=TYPE, data={}, labels=labels,
        annotations={ACCOUNT_NAME: account},
    )  # fmt: skip


def _accounts_come_and_go(cluster: FakeCluster, step: int) -> None:
    if step == 3:
        cluster.delete(WHOLE_ACCOUNTS, Key("default", "leaver"))
        cluster.load(_account("late"), _holder("late"))


def _tokens(cluster: FakeCluster) -> Any:
    return {
        found.metadata.name: (found.metadata.annotations[ACCOUNT_UID], bool(found.data["token"]))
        for found in cluster.list(Secret)
    }


TOKENS = Scenario(
    controllers=["serviceaccount-token-controller"],
    objects=lambda: [
        _account("robot"), _holder("robot"), _account("leaver"), _holder("leaver"), _holder("nobody"),
    ],
    world=_accounts_come_and_go,
    outcome=_tokens,
    expected={
        "robot-token": ("serviceaccount-default-robot", True),
        "late-token": ("serviceaccount-default-late", True),
    },
    options=_with_key,
)  # fmt: skip


def _old_tokens() -> list[Object]:
    """One that nobody has used, one that was used lately, one that a person made."""
    long_ago = {"creationTimestamp": "2025-06-01T00:00:00Z"}
    secrets = [_holder("robot"), _holder("busy", **{LAST_USED: "2026-01-30"}), _holder("person")]
    tracking = make_object("v1", "ConfigMap", TRACKING.name, TRACKING.namespace, data={"since": "2025-06-01"})
    accounts = [_account("robot", "robot-token"), _account("busy", "busy-token"), _account("person")]
    aged = [secret | {"metadata": secret["metadata"] | long_ago} for secret in secrets]
    return [tracking, *accounts, *aged]


UNUSED_TOKENS = Scenario(
    controllers=["legacy-serviceaccount-token-cleaner-controller"],
    objects=_old_tokens,
    outcome=lambda cluster: sorted(found.metadata.name for found in cluster.list(Secret)),
    expected=["busy-token", "person-token"],
    options=lambda cluster, folder: {"legacy_token_clean_up_period": 24 * 3600.0},
    steps=16,
    pace=12 * 3600,
    rest=8 * 24 * 3600,
)


def _rotated(cluster: FakeCluster, step: int) -> None:
    """A bundle of a former root is left over, and somebody deletes the present one."""
    former = make_object(BUNDLES.api_version, BUNDLES.kind, bundle_name(SIGNER, b"FORMER"))
    if step == 2:
        cluster.load(former | {"spec": {"signerName": SIGNER, "trustBundle": "FORMER"}})
    present = Key("", bundle_name(SIGNER, b"CERTIFICATE"))
    if step == 4 and cluster.get(BUNDLES, present) is not None:
        cluster.delete(BUNDLES, present)


TRUST_BUNDLE = Scenario(
    controllers=["kube-apiserver-serving-clustertrustbundle-publisher-controller"],
    objects=list,
    world=_rotated,
    outcome=lambda cluster: [found.metadata.name for found in cluster.list(BUNDLES)],
    expected=[bundle_name(SIGNER, b"CERTIFICATE")],
    options=_with_root,
)

STORIES = {
    "service account": ACCOUNT,
    "root certificate": ROOT_CA,
    "bootstrap signer": SIGNING_INFO,
    "csr approval": APPROVAL,
    "csr approval, serving": SERVING_APPROVAL,
    "csr signing": SIGNING,
    "service account tokens": TOKENS,
    "unused tokens": UNUSED_TOKENS,
    "trust bundle": TRUST_BUNDLE,
}

"""A Pod's identity, end to end: the projected token, over the kubelet, into a container, back to the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kplane.testing.clusters import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

POD = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: Pod
metadata: {name: identity}
spec:
  serviceAccountName: robot
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/kplane/hello:1
    imagePullPolicy: Never
    command: [sleep, "1000"]
    volumeMounts:
    - {name: kube-api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    - {name: machine, mountPath: /host, readOnly: true}
  volumes:
  - name: machine
    hostPath: {path: /}
  - name: kube-api-access
    projected:
      sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
"""


async def test_the_token_in_a_container_is_the_pods_account(node_cluster: Cluster) -> None:
    await node_cluster.kubectl("apply", "-f", "-", input=POD)
    await node_cluster.kubectl("wait", "--for=condition=Ready", "pod/identity", "--timeout=60s")

    # busybox's own TLS is too small; the machine's curl runs in the Pod's network all the same.
    script = (
        'busybox chroot /host curl -sk -H "Authorization: Bearer $(cat $0)"'
        ' -H "Content-Type: application/json" -d "$1"'
        " https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT"
        "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    )
    review = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    answer = await node_cluster.kubectl("exec", "identity", "--", "sh", "-c", script, TOKEN, review)

    info = json.loads(answer.out)["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:default:robot"
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["identity"]
    await node_cluster.kubectl("delete", "-f", "-", input=POD)


PLAIN = """
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "localhost/kplane/hello:1", imagePullPolicy: Never, command: [sleep, "1000"]}
"""


async def test_every_pod_finds_what_it_needs_to_speak_with_the_api(
    node_cluster: Cluster, tmp_path: Path
) -> None:
    await node_cluster.kubectl("apply", "-f", "-", input=PLAIN)
    await node_cluster.kubectl("wait", "--for=condition=Ready", "pod/plain", "--timeout=60s")

    async def inside(*command: str) -> str:
        return (await node_cluster.kubectl("exec", "plain", "--", *command)).out.strip()

    folder = TOKEN.removesuffix("/token")
    token, authority = await inside("cat", TOKEN), tmp_path / "ca.crt"
    authority.write_text(await inside("cat", f"{folder}/ca.crt"))
    host, port = [await inside("sh", "-c", f"echo $KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT")]
    answer = await node_cluster.run(
        "curl", "-sf", "--cacert", str(authority), "-H", f"Authorization: Bearer {token}",
        "--resolve", f"kubernetes.default:{port}:{host}", "-H", "Content-Type: application/json",
        "-d", '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
        f"https://kubernetes.default:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews",
    )  # fmt: skip

    assert await inside("cat", f"{folder}/namespace") == "default"
    assert json.loads(answer.out)["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    await node_cluster.kubectl("delete", "-f", "-", input=PLAIN)

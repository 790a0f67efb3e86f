"""Every component asks under its own name, and its role is enough: a cluster at work is never refused."""

from __future__ import annotations

import re

import pytest

from kplane.testing.clusters import Cluster, cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("cluster-hollow")]

POD = "{metadata: {labels: {app: %s}}, spec: {containers: [{name: c, image: example/c}]}}"
ONCE = "{spec: {restartPolicy: Never, containers: [{name: c, image: example/c}]}}"

EVERYTHING = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: work}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: work}}
spec: {{replicas: 2, selector: {{matchLabels: {{app: web}}}}, template: {POD % "web"}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: work}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: outside, namespace: work}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: outside, namespace: work}}
subsets: [{{addresses: [{{ip: 192.0.2.1}}], ports: [{{port: 80}}]}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: work}}
spec: {{minAvailable: 1, selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: work}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  minReplicas: 3
  maxReplicas: 4
  metrics:
    - {{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: all, namespace: work}}
spec: {{hard: {{pods: "50", count/configmaps: "20"}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db, namespace: work}}
spec:
  serviceName: db
  replicas: 1
  selector: {{matchLabels: {{app: db}}}}
  template: {POD % "db"}
  persistentVolumeClaimRetentionPolicy: {{whenDeleted: Delete, whenScaled: Delete}}
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec: {{storageClassName: "", accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk}}
spec:
  capacity: {{storage: 1Mi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  hostPath: {{path: /tmp}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent, namespace: work}}
spec: {{selector: {{matchLabels: {{app: agent}}}}, template: {POD % "agent"}}}
---
apiVersion: v1
kind: ReplicationController
metadata: {{name: old, namespace: work}}
spec: {{replicas: 1, selector: {{app: old}}, template: {POD % "old"}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: work}}
spec: {{ttlSecondsAfterFinished: 1, activeDeadlineSeconds: 2, backoffLimit: 0, template: {ONCE}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: often, namespace: work}}
spec: {{schedule: "* * * * *", jobTemplate: {{spec: {{template: {ONCE}}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: scratch, namespace: work}}
spec:
  containers: [{{name: c, image: example/c}}]
  volumes:
    - name: v
      ephemeral:
        volumeClaimTemplate:
          spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: gathered}}
aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{gather: "true"}}}}]}}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: part, labels: {{gather: "true"}}}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [get]}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: small}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}}]
  validations: [{{expression: "object.spec.replicas <= 100"}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: robot, namespace: work}}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {{name: robot, namespace: work, annotations: {{kubernetes.io/service-account.name: robot}}}}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {{name: second}}
spec: {{cidrs: [10.97.0.0/24]}}
"""


async def refused(hollow: Cluster) -> list[str]:
    """Requests that were answered with 401 or 403, by the API server's own count."""
    text = (await hollow.kubectl("get", "--raw", "/metrics")).out
    assert 'code="200"' in text
    return re.findall(r'^apiserver_request_total\{.*code="40[13]".*$', text, re.MULTILINE)


async def unauthorised(hollow: Cluster) -> list[str]:
    """What nobody's role allowed."""
    text = (await hollow.kubectl("get", "--raw", "/metrics")).out
    return re.findall(
        r'^authorization_attempts_total\{result="(?!allowed).*\} (?!0\.0$).*$', text, re.MULTILINE
    )


async def states(hollow: Cluster) -> dict[str, str]:
    """What each controller has brought about."""
    paths = {
        "deployments/web": "{.status.readyReplicas}",
        "statefulsets/db": "{.status.readyReplicas}",
        "daemonsets/agent": "{.status.numberReady}",
        "replicationcontrollers/old": "{.status.readyReplicas}",
        "persistentvolumeclaims/data-db-0": "{.status.phase}",
        "poddisruptionbudgets/web": "{.status.currentHealthy}",
        "resourcequotas/all": "{.status.used.count/configmaps}",
        "horizontalpodautoscalers/web": "{.status.desiredReplicas}",
        "endpointslices": "{.items[*].endpoints[*].addresses}",
        "persistentvolumeclaims/scratch-v": "{.metadata.ownerReferences[0].kind}",
        "clusterroles/gathered": "{.rules[0].resources}",
        "validatingadmissionpolicies/small": "{.status.observedGeneration}",
        "servicecidrs/second": "{.status.conditions[0].status}",
        "secrets/robot": "{.data.token}",
        "clustertrustbundles": "{.items[*].spec.signerName}",
        "configmaps/kube-root-ca.crt": "{.metadata.name}",
    }
    found = {}
    for what, path in paths.items():
        answer = await hollow.kubectl("get", "-n", "work", what, "-o", f"jsonpath={path}", check=False)
        found[what] = answer.out
    return found


async def test_a_cluster_at_work_is_refused_nothing() -> None:
    async with cluster("--runtime", "hollow", "--port", "0") as hollow:
        await hollow.kubectl("apply", "-f", "-", input=EVERYTHING)

        async def settled() -> bool:
            return all((await states(hollow)).values())

        assert await eventually(settled, seconds=40)
        await hollow.kubectl("rollout", "restart", "-n", "work", "deployment/web", "daemonset/agent")
        await hollow.kubectl("set", "image", "-n", "work", "statefulset/db", "c=example/c:2")
        await hollow.kubectl("rollout", "status", "-n", "work", "statefulset/db", "--timeout=40s")
        await hollow.kubectl("create", "job", "-n", "work", "--from=cronjob/often", "now")
        await hollow.kubectl("wait", "-n", "work", "--for=delete", "job/once", "--timeout=40s")
        await hollow.kubectl("logs", "-n", "work", "deployment/web", check=False)
        await hollow.kubectl("delete", "-n", "work", "deployment/web", "--cascade=orphan")
        await hollow.kubectl("taint", "node", "--all", "out=now:NoExecute")
        await hollow.kubectl("delete", "pv/disk", "servicecidr/second", "--wait=false")
        assert await refused(hollow) == []
        # What still happens in a namespace that ends is refused by admission, which is no lack of rights.
        await hollow.kubectl("delete", "namespace", "work", "--timeout=60s")
        await hollow.kubectl("wait", "--for=delete", "pv/disk", "servicecidr/second", "--timeout=30s")

        assert await unauthorised(hollow) == []
        logs = "".join(path.read_text() for path in hollow.logs())
        assert re.findall(r".*cannot \w+ resource.*", logs) == []
        admins = await hollow.kubectl(
            "get", "clusterrolebindings", "-o", "jsonpath={.items[*].metadata.name}"
        )
        assert "kplane:controllers" not in admins.out

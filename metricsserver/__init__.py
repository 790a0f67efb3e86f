"""The metrics server: `metrics.k8s.io`, what Pods and Nodes use now, as measured by the kubelets.

Reads: `/metrics/resource` of every kubelet, Nodes and Pods from informer caches. Writes nothing.
The API server hands the API's requests on to it (aggregation); autoscalers and `kubectl top` ask for them.
"""

"""From the API server to the kubelets: container logs, exec, attach, port-forward, and the node proxy."""

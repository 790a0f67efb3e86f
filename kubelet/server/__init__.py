"""The node server: what the API server asks of a kubelet (logs, exec, attach, port-forward); health."""

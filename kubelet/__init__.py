"""The kubelet: runs the Pods that are bound to its Node through a container runtime."""

"""The `kplane` command: cluster life cycle, and the kubectl-like verbs."""

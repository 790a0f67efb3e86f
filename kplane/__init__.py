"""Kubernetes' control plane and node agents in Python.

`kplane.api`, `kplane.client`, `kplane.runtime` and `kplane.testing` are the library that every component
uses; `kplane.apiserver`, `kplane.scheduler`, `kplane.controllers`, `kplane.kubelet`, `kplane.proxy` and
`kplane.cli` are the components. No component imports another.
"""

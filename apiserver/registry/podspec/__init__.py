"""What a pod spec is, wherever it stands: in a Pod, or in the template of a workload.

Defaults and validation, shared by the strategies of all kinds that hold one. Pure.
"""

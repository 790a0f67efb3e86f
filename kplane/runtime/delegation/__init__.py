"""Whom a component's port lets in, where the API server decides: client certificates of the cluster,
TokenReviews and SubjectAccessReviews, whose answers are kept for a while.

`secureport.py` is the whole of it for a port of health, metrics and the like; the kubelet's node server,
which asks for other rights, is made of the same parts.
"""

"""Dynamic resources (`resource.k8s.io`): what claims, classes, slices and taint rules may say.

Pure. Rules and wording: upstream's `pkg/apis/resource/validation`; limits: `api/resource/v1/types.go`.
"""

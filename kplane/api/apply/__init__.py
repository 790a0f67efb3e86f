"""Who manages which field: server-side apply and the tracking of every other write.

Pure functions over objects, schemas and `metadata.managedFields`. `shape` says what each schema node is to
apply, `fieldset` is the algebra of sets of fields, `compare` finds the fields that a write changes, `merge`
makes the applied object, `entries` are those of `managedFields`, `conflicts` words a refusal, `clientside`
is the way from kubectl's older apply; `managed` puts them together. Rules: KEP-555,
sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

from kplane.api.apply.entries import Writer
from kplane.api.apply.managed import apply, settle, track

__all__ = ["Writer", "apply", "settle", "track"]

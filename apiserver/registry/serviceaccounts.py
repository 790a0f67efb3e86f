"""ServiceAccounts: identities of pods."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.resource import Object

from .strategy import Strategy

ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccountStrategy(Strategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        # References without a name mean nothing.
        if "secrets" in obj:
            obj["secrets"] = [reference for reference in obj["secrets"] if reference]

    def prepare_create(self, obj: Object) -> None:
        _clean_references(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        _clean_references(new)

    def warnings(self, obj: Object) -> Iterator[str]:
        if ENFORCE_MOUNTABLE in (obj["metadata"].get("annotations") or {}):
            yield (
                f"metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces"
                " to isolate access to mounted secrets"
            )

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        if ENFORCE_MOUNTABLE not in (old["metadata"].get("annotations") or {}):
            yield from self.warnings(new)


def _clean_references(obj: Object) -> None:
    """Of a reference to a Secret only the name counts: it can be nothing else, and nowhere else."""
    if obj.get("secrets"):
        obj["secrets"] = [{"name": one["name"]} if one.get("name") else {} for one in obj["secrets"]]

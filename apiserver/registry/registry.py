"""The registries of a server: one per resource, made from the scheme's row and the resource's strategy.

The table of strategies is in `strategies.py`; a resource without a row there follows the schema alone.
Custom resources bring their own: what their definition says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion, ResourceInfo

from ..storage import codec
from ..storage.cache import Fields
from ..storage.hub import Hub
from .customresources import CustomResourceStrategy
from .generic import Registry
from .strategies import STRATEGIES
from .strategy import Strategy
from .versions import Converter, CustomVersions, default, normaliser
from .writing import Backing, Claim, no_claim

PLAIN = Strategy()


class Registries:
    """Makes each registry on first use. `claims` and `ttls` are by group and plural; `converter` is what
    converts a custom resource."""

    def __init__(
        self,
        hub: Hub,
        backing: Backing,
        *,
        claims: Mapping[tuple[str, str], Claim],
        ttls: Mapping[tuple[str, str], int],
        converter: Callable[[ResourceInfo], Converter],
    ) -> None:
        self._hub = hub
        self._backing = backing
        self._claims = claims
        self._ttls = ttls
        self._converter = converter
        self._made: dict[tuple[str, str, str], tuple[ResourceInfo, Registry]] = {}

    def of(self, row: ResourceInfo) -> Registry:
        key = (row.group, row.version, row.plural)
        known = self._made.get(key)
        # A custom resource may be redefined: the row is another one then.
        if known is None or known[0] is not row:
            known = self._made[key] = (row, self._make(row))
        return known[1]

    def forget(self, row: ResourceInfo) -> None:
        """Drop the registry and the cache of a custom resource that is gone or redefined; its watches end."""
        self._made.pop((row.group, row.version, row.plural), None)
        self._hub.drop(row.storage_prefix)

    def _make_custom(self, row: ResourceInfo, custom: CustomVersion) -> Registry:
        strategy = CustomResourceStrategy(custom)
        fields = self._fields_of(strategy, custom) if custom.all_selectable else None
        cache = self._hub.cache(row.storage_prefix, fields, normaliser(row, custom))
        versions = CustomVersions(row, custom, self._converter(row))
        return Registry(row, strategy, cache, self._backing, versions=versions)

    def _fields_of(self, strategy: CustomResourceStrategy, custom: CustomVersion) -> Fields:
        """Of a stored object, whose defaults the cache fills in itself only where there is one version."""
        if custom.single:
            return strategy.fields

        def fields(obj: Object) -> Mapping[str, str]:
            default(custom, obj)
            return strategy.fields(obj)

        return fields

    def _make(self, row: ResourceInfo) -> Registry:
        if row.custom:
            return self._make_custom(row, row.custom)
        assert row.storage_prefix, f"nothing is stored of {row.plural}"
        key = (row.group, row.plural)
        # The cache holds what is stored, which may be another version than this row's.
        stored = STRATEGIES.get((row.storage_group_version[0], row.plural), PLAIN)
        fields = stored.fields if stored.selectable else None
        decode = codec.reader(stored.fields_read) if stored.fields_read else codec.decode
        cache = self._hub.cache(row.storage_prefix, fields, decode=decode)
        return Registry(
            row,
            STRATEGIES.get(key, PLAIN),
            cache,
            self._backing,
            claim=self._claims.get(key, no_claim),
            ttl=self._ttls.get(key, 0),
        )

"""`kplane apply -f`: make the cluster hold what the manifests say.

What was applied last is kept in an annotation of the object, so that the next apply knows which fields to
take away; kubectl keeps it in the same place and form, and either may follow the other.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import msgspec

from kplane.api import schema
from kplane.api.errors import ApiError, NotFound, UnsupportedMediaType
from kplane.api.resource import Object
from kplane.api.scheme import builtin
from kplane.client.rest import PatchType

from . import discovery, manifests
from .choices import DryRun
from .failures import CommandError, report, while_doing
from .manifests import Failure, Manifest
from .outputs import escaped
from .session import Session
from .three_way import merge_patch, strategic_patch

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLIENT_MANAGER = "kubectl-client-side-apply"
SERVER_MANAGER = "kubectl"


@dataclass(frozen=True)
class Options:
    """The flags of `apply`, as kubectl has them."""

    files: tuple[str, ...] = ()
    recursive: bool = False
    dry_run: DryRun = DryRun.NONE
    server_side: bool = False
    force_conflicts: bool = False
    field_manager: str = ""


async def apply(session: Session, options: Options) -> int:
    """Apply every object, also after one has failed. Raises CommandError."""
    if not options.files:
        raise CommandError("must specify what to apply with -f")
    if options.server_side and options.dry_run is DryRun.CLIENT:
        raise CommandError(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        )
    kinds = await discovery.load(session.client)
    status, applier = 0, Applier(session, options)
    found = list(manifests.read(options.files, session, kinds, recursive=options.recursive))
    if not found:
        raise CommandError("no objects passed to apply")
    for manifest in found:
        try:
            outcome = await applier.apply(_usable(manifest))
        except (ApiError, CommandError) as error:
            status = report(error)
        else:
            print(outcome + options.dry_run.suffix)
    return status


def _usable(found: Manifest | Failure) -> Manifest:
    if isinstance(found, Failure):
        raise found.error
    if not found.name:
        if found.body["metadata"].get("generateName"):
            raise CommandError(
                f"from {found.body['metadata']['generateName']}: cannot use generate name with apply"
            )
        raise CommandError(
            f"error when retrieving current configuration of {found.source!r}: resource name may not be empty"
        )
    return found


@dataclass(frozen=True)
class Applier:
    """Applies one object after the other. Everything raises ApiError."""

    session: Session
    options: Options

    async def apply(self, manifest: Manifest) -> str:
        """What happened, as kubectl says it."""
        said = f"{manifest.kind.prefix}/{manifest.name}"
        if self.options.server_side:
            await self._apply_on_server(manifest)
            return f"{said} serverside-applied"
        modified, current = annotated(manifest.body), await self._live(manifest)
        if current is None:
            await self._create(manifest, modified)
            return f"{said} created"
        if LAST_APPLIED not in (current["metadata"].get("annotations") or {}):
            _warn_of_missing_annotation(manifest)
        kind, patch = three_way(manifest, modified, current)
        if not patch:
            return f"{said} unchanged"
        await self._patch(manifest, patch, kind, CLIENT_MANAGER)
        return f"{said} configured"

    async def _live(self, manifest: Manifest) -> Object | None:
        try:
            found: Object = msgspec.json.decode(await self.session.client.raw("GET", manifest.path))
        except NotFound:
            return None
        except ApiError as error:
            raise while_doing("retrieving current configuration of", manifest.source, error) from error
        return found

    async def _create(self, manifest: Manifest, body: Object) -> None:
        if self.options.dry_run is DryRun.CLIENT:
            return
        path = manifest.kind.resource.path(manifest.namespace)
        try:
            await self.session.client.raw("POST", path, body=body, query=self._query(CLIENT_MANAGER))
        except ApiError as error:
            raise while_doing("creating", manifest.source, error) from error

    async def _patch(self, manifest: Manifest, patch: Object, kind: PatchType, manager: str) -> None:
        if self.options.dry_run is DryRun.CLIENT:
            return
        query = self._query(manager)
        if kind is PatchType.APPLY:
            query["force"] = "true" if self.options.force_conflicts else "false"
        try:
            await self.session.client.raw(
                "PATCH", manifest.path, body=patch, query=query, content_type=kind.value
            )
        except UnsupportedMediaType:
            raise
        except ApiError as error:
            raise while_doing("patching", manifest.source, error) from error

    async def _apply_on_server(self, manifest: Manifest) -> None:
        try:
            await self._patch(manifest, manifest.body, PatchType.APPLY, SERVER_MANAGER)
        except UnsupportedMediaType as error:
            raise CommandError(
                "this server does not support server-side apply; apply without --server-side"
            ) from error

    def _query(self, manager: str) -> dict[str, str]:
        query = {"fieldManager": self.options.field_manager or manager, "fieldValidation": "Strict"}
        if self.options.dry_run is DryRun.SERVER:
            query["dryRun"] = "All"
        return query


def annotated(body: Object) -> Object:
    """The object with itself in its annotation."""
    metadata = body["metadata"]
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED
    }
    plain = body | {"metadata": metadata | {"annotations": annotations}}
    # To the byte as kubectl writes it: another text would count as a change.
    text = escaped(msgspec.json.encode(plain, order="sorted").decode()) + "\n"
    return body | {"metadata": metadata | {"annotations": annotations | {LAST_APPLIED: text}}}


def last_applied(current: Object) -> Object:
    """What the annotation of a live object holds; empty if there is none. Raises CommandError."""
    text = (current["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise CommandError(
            f"the annotation {LAST_APPLIED} of {current['metadata']['name']} is not JSON"
        ) from error
    return found if isinstance(found, dict) else {}


def three_way(manifest: Manifest, modified: Object, current: Object) -> tuple[PatchType, Object]:
    """The patch and its form: strategic for what the built-in schema knows."""
    resource = manifest.kind.resource
    row = builtin().by_path(resource.group, resource.version, resource.plural)
    original = last_applied(current)
    if row is None or not row.definition:
        return PatchType.MERGE, merge_patch(original, modified, current)
    return PatchType.STRATEGIC, strategic_patch(original, modified, current, schema.node(row.definition))


def _warn_of_missing_annotation(manifest: Manifest) -> None:
    print(
        f"Warning: resource {manifest.kind.resource.plural}/{manifest.name} is missing the {LAST_APPLIED} "
        "annotation which is required by kplane apply. kplane apply should only be used on resources created "
        "declaratively by either kubectl create --save-config or kplane apply. The missing annotation will "
        "be patched automatically.",
        file=sys.stderr,
    )

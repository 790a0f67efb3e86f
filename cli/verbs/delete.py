"""`kplane delete`: by name, by selector, or what manifests hold; then wait until it is really gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from kplane.api.errors import ApiError, Expired, NotFound
from kplane.api.resource import Object, Resource

from . import discovery, manifests
from .arguments import Wanted, parse
from .choices import Cascade, DryRun
from .discovery import Kind, Kinds
from .failures import CommandError, report, while_doing
from .manifests import Failure
from .session import Session

IMMEDIATE = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been "
    "terminated. The resource may continue to run on the cluster indefinitely."
)
NO_GRACE_WITHOUT_FORCE = 1
"""Seconds that stand for a grace period of 0 without --force, so that the object may be waited for."""


@dataclass(frozen=True)
class Options:
    """The flags of `delete`, as kubectl has them."""

    files: tuple[str, ...] = ()
    recursive: bool = False
    selector: str = ""
    field_selector: str = ""
    all: bool = False
    all_namespaces: bool = False
    grace_period: int = -1
    force: bool = False
    now: bool = False
    wait: bool = True
    ignore_not_found: bool = False
    cascade: Cascade = Cascade.BACKGROUND
    dry_run: DryRun = DryRun.NONE

    @property
    def grace_seconds(self) -> int | None:
        """What is asked of the server. Raises CommandError."""
        if self.now:
            return 1
        if self.force and self.grace_period > 0:
            raise CommandError("--force and --grace-period greater than 0 cannot be specified together")
        if self.grace_period < 0:
            return 0 if self.force else None
        return self.grace_period if self.force else max(self.grace_period, NO_GRACE_WITHOUT_FORCE)


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object that is to be deleted."""

    resource: Resource[Object]
    prefix: str
    namespace: str
    name: str
    source: str = ""


async def delete(session: Session, words: Sequence[str], options: Options) -> int:
    """Delete, and wait. What cannot be deleted is reported, and the rest goes on. Raises CommandError."""
    grace = options.grace_seconds
    kinds = await discovery.load(session.client)
    _check(words, options)
    if grace == 0 and options.dry_run is DryRun.NONE:
        print(IMMEDIATE, file=sys.stderr)
    found, status = _in_files(session, kinds, options) if options.files else ([], 0)
    if words:
        found += await _named(session, words, kinds, options)
    if not found and not status and not options.ignore_not_found:
        print("No resources found")
    deleter, gone = Deleter(session, options, grace), []
    for one in found:
        try:
            gone.append((one, await deleter.delete(one)))
        except NotFound as error:
            status = status if options.ignore_not_found else report(error)
        except ApiError as error:
            status = report(error)
    if options.wait and options.dry_run is DryRun.NONE:
        for one, uid in gone:
            await wait_until_gone(session, one, uid)
    return status


def _check(words: Sequence[str], options: Options) -> None:
    selecting = bool(options.selector or options.field_selector)
    if options.files and words:
        raise CommandError(
            "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
        )
    if options.all and selecting:
        raise CommandError("setting 'all' parameter but found a non empty selector. ")
    if not options.files and not words:
        raise CommandError("You must provide one or more resources by argument or filename.")
    one_word = len(words) == 1 and "/" not in words[0]
    if one_word and not (selecting or options.all or options.all_namespaces):
        raise CommandError("resource(s) were provided, but no name was specified")


def _in_files(session: Session, kinds: Kinds, options: Options) -> tuple[list[Doomed], int]:
    """What the manifests name, and an exit status that says whether all of it could be read."""
    found: list[Doomed] = []
    status = 0
    for manifest in manifests.read(options.files, session, kinds, recursive=options.recursive):
        if isinstance(manifest, Failure):
            status = report(manifest.error)
        else:
            kind = manifest.kind
            found.append(
                Doomed(kind.resource, kind.prefix, manifest.namespace, manifest.name, manifest.source)
            )
    return found, status


async def _named(session: Session, words: Sequence[str], kinds: Kinds, options: Options) -> list[Doomed]:
    selecting = bool(options.selector or options.field_selector)
    found: list[Doomed] = []
    for wanted in parse(words, kinds, selecting=selecting).wanted:
        if wanted.name:
            found.append(_doomed(wanted.kind, session.namespace_of(wanted.kind), wanted.name))
        else:
            found += await _listed(session, wanted, options)
    return found


async def _listed(session: Session, wanted: Wanted, options: Options) -> list[Doomed]:
    namespace = session.namespace_of(wanted.kind, all_namespaces=options.all_namespaces)
    page = await session.client.list(
        wanted.kind.resource,
        namespace,
        label_selector=options.selector,
        field_selector=options.field_selector,
    )
    return [
        _doomed(wanted.kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for item in page.items
    ]


def _doomed(kind: Kind, namespace: str, name: str) -> Doomed:
    return Doomed(kind.resource, kind.prefix, namespace, name)


@dataclass(frozen=True)
class Deleter:
    """Deletes one object after the other."""

    session: Session
    options: Options
    grace_seconds: int | None

    async def delete(self, one: Doomed) -> str:
        """The uid of what was deleted; empty if the server does not say. Raises ApiError."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        body["propagationPolicy"] = self.options.cascade.value.capitalize()
        if self.grace_seconds is not None:
            body["gracePeriodSeconds"] = self.grace_seconds
        if self.options.dry_run is DryRun.SERVER:
            body["dryRun"] = ["All"]
        uid = ""
        if self.options.dry_run is not DryRun.CLIENT:
            path = one.resource.path(one.namespace, one.name)
            try:
                uid = _uid(await self.session.client.raw("DELETE", path, body=body))
            except ApiError as error:
                raise while_doing("deleting", one.source, error) if one.source else error from error
        print(self._said(one), flush=True)
        return uid

    def _said(self, one: Doomed) -> str:
        forced = "force deleted" if self.grace_seconds == 0 else "deleted"
        where = f" from {one.namespace} namespace" if one.namespace else ""
        return f'{one.prefix} "{one.name}" {forced}{where}{self.options.dry_run.suffix}'


def _uid(answer: bytes) -> str:
    """From the object, if it is still there, or from the Status about it."""
    body: Object = msgspec.json.decode(answer)
    uid: str = body.get("metadata", {}).get("uid") or (body.get("details") or {}).get("uid") or ""
    return uid


async def wait_until_gone(session: Session, one: Doomed, uid: str) -> None:
    """Until nothing, or a successor, has the object's name. Raises ApiError."""
    while True:
        try:
            found = await session.client.get(one.resource, one.name, one.namespace)
        except NotFound:
            return
        metadata = found["metadata"]
        if uid and metadata["uid"] != uid:
            return
        events = session.client.watch(
            one.resource,
            one.namespace,
            resource_version=metadata["resourceVersion"],
            field_selector=f"metadata.name={one.name}",
        )
        try:
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if event.type == "DELETED":
                        return
        except Expired:
            continue  # history is gone: what is there now is asked for again

"""The authorisers that the flags name, or the file of `--authorization-config`, in their order.

The file is followed: what it says of webhooks holds as soon as it has changed. The other authorisers are
those that the server started with; a file that names others is reported, and the former one stays in force.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kplane.api.clock import Clock, Entropy
from kplane.client.kubeconfig import ConfigError, load
from kplane.runtime.process import Fatal

from .abac import load as load_abac
from .authorizationconfig import WEBHOOK, Entry, load_configuration
from .authorizationmetrics import AuthorizationMetrics, Measured
from .authorizer import AlwaysAllow, AlwaysDeny, Attributes, Authorizer, Rules, Union, Verdict
from .flags import PREFIX as AUTH_PREFIX
from .flags import words
from .user import User
from .webhookauthorizer import WebhookAuthorizer, WebhookSettings

PREFIX = f"{AUTH_PREFIX}authorization."
ALWAYS_ALLOW, ALWAYS_DENY, ABAC, NODE, RBAC = "AlwaysAllow", "AlwaysDeny", "ABAC", "Node", "RBAC"
MODES = (ALWAYS_ALLOW, ALWAYS_DENY, ABAC, WEBHOOK, RBAC, NODE)
_NAMES = {WEBHOOK: "default"}
"""What flags call an authoriser, where that is not its mode."""
LOOK_SECONDS = 1.0
"""How often the file is looked at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AuthorizationSettings:
    """Either `config`, or the rest."""

    modes: tuple[str, ...] = (ALWAYS_ALLOW,)
    config: Path | None = None
    policy_file: Path | None = None
    """Of the mode ABAC."""
    webhook_config_file: Path | None = None
    webhook_version: str = "v1beta1"
    webhook_authorized_ttl: float = 300.0
    webhook_unauthorized_ttl: float = 30.0

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        for mode in self.modes:
            if mode not in MODES:
                raise Fatal(f'authorization-mode "{mode}" is not a valid mode')
        if len(set(self.modes)) < len(self.modes):
            raise Fatal(f"authorization-mode {list(self.modes)} has mode specified more than once")
        if ABAC in self.modes and self.policy_file is None:
            raise Fatal("authorization-mode ABAC's authorization policy file not passed")
        if ABAC not in self.modes and self.policy_file is not None and self.config is None:
            raise Fatal("cannot specify --authorization-policy-file without mode ABAC")
        if WEBHOOK in self.modes and self.webhook_config_file is None:
            raise Fatal("authorization-mode Webhook's authorization config file not passed")
        if WEBHOOK not in self.modes and self.webhook_config_file is not None:
            raise Fatal("cannot specify --authorization-webhook-config-file without mode Webhook")
        if self.webhook_version not in ("v1", "v1beta1"):
            raise Fatal("--authorization-webhook-version must be v1 or v1beta1")

    def entries(self) -> Sequence[Entry]:
        """Raises Fatal for files that cannot be used."""
        if self.config is not None:
            return load_configuration(self.config)
        return [Entry(mode, _NAMES.get(mode, mode.lower()), self._webhook(mode)) for mode in self.modes]

    def abac(self) -> Authorizer:
        """Raises Fatal."""
        if self.policy_file is None:
            raise Fatal("authorization-mode ABAC's authorization policy file not passed")
        return load_abac(self.policy_file)

    def _webhook(self, mode: str) -> WebhookSettings | None:
        if mode != WEBHOOK:
            return None
        try:
            credentials = load(self.webhook_config_file)
        except ConfigError as error:
            raise Fatal(f"--authorization-webhook-config-file: {error}") from error
        return WebhookSettings(
            credentials=credentials,
            version=self.webhook_version,
            authorized_ttl=self.webhook_authorized_ttl,
            unauthorized_ttl=self.webhook_unauthorized_ttl,
        )


def add_flags(
    parser: argparse.ArgumentParser, *, file: Callable[[str], Path], seconds: Callable[[str], float]
) -> None:
    def flag(name: str, target: str, kind: Callable[[str], object], text: str, **more: Any) -> None:
        parser.add_argument(
            f"--authorization-{name}",
            dest=f"{PREFIX}{target}",
            type=kind,
            default=argparse.SUPPRESS,
            help=text,
            **more,
        )

    text = f"authorisers, in their order and separated by commas: {', '.join(MODES)}"
    flag("mode", "modes", words, text, action="extend")
    flag("config", "config", file, "AuthorizationConfiguration; followed")
    flag("policy-file", "policy_file", file, "policies of the mode ABAC, one a line in JSON")
    flag("webhook-config-file", "webhook_config_file", file, "kubeconfig of a server that decides")
    flag("webhook-version", "webhook_version", str, "version of its SubjectAccessReviews: v1 or v1beta1")
    kept = "how long the webhook's answers are kept, such as 5m0s: "
    flag("webhook-cache-authorized-ttl", "webhook_authorized_ttl", seconds, f"{kept}what is allowed")
    flag("webhook-cache-unauthorized-ttl", "webhook_unauthorized_ttl", seconds, f"{kept}what is not")


def settings(args: Mapping[str, Any]) -> AuthorizationSettings:
    """From the parsed flags. Raises Fatal."""
    found = {name.removeprefix(PREFIX): value for name, value in args.items() if name.startswith(PREFIX)}
    if "config" in found and found.keys() - {"config", "policy_file"}:
        raise Fatal(
            "--authorization-config can not be specified when --authorization-mode or"
            " --authorization-webhook-* flags are defined"
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
    }
    made = AuthorizationSettings(**values)
    made.check()
    return made


@dataclass(frozen=True)
class Makers:
    """How to make what needs the server's caches."""

    node: Callable[[], Authorizer]
    rbac: Callable[[], Authorizer]


class Configured:
    """All the authorisers of a server."""

    def __init__(
        self,
        settings: AuthorizationSettings,
        makers: Makers,
        clock: Clock,
        entropy: Entropy,
        metrics: AuthorizationMetrics,
    ) -> None:
        """Raises Fatal for files that cannot be used."""
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._path = settings.config
        self._stamp = _stamp(settings.config)
        self._looked = clock.monotonic()
        makes: Mapping[str, Callable[[], Authorizer]] = {
            ALWAYS_ALLOW: AlwaysAllow,
            ALWAYS_DENY: AlwaysDeny,
            ABAC: settings.abac,
            NODE: makers.node,
            RBAC: makers.rbac,
        }
        entries = settings.entries()
        self.types = tuple(entry.type for entry in entries)
        self._builtin = {kind: makes[kind]() for kind in self.types if kind != WEBHOOK}
        self._webhooks: list[WebhookAuthorizer] = []
        self._union = self._build(entries)
        self._in_effect()

    async def close(self) -> None:
        for webhook in self._webhooks:
            await webhook.close()

    async def authorize(self, attributes: Attributes) -> Verdict:
        self._look_again()
        return await self._union.authorize(attributes)

    async def rules(self, user: User, namespace: str) -> Rules:
        return await self._union.rules(user, namespace)

    async def catch_up(self) -> bool:
        return await self._union.catch_up()

    def _build(self, entries: Sequence[Entry]) -> Union:
        return Union(
            [Measured(self._made(entry), self._metrics, entry.type, entry.name) for entry in entries]
        )

    def _made(self, entry: Entry) -> Authorizer:
        if entry.webhook is None:
            return self._builtin[entry.type]
        try:
            metrics = self._metrics.webhook(entry.name)
            made = WebhookAuthorizer(entry.webhook, self._clock, self._entropy, metrics)
        except ConfigError as error:
            raise Fatal(f"authorizer {entry.name}: {error}") from error
        self._webhooks.append(made)
        return made

    def _look_again(self) -> None:
        """Follow the file. One that cannot be used changes nothing."""
        now = self._clock.monotonic()
        if self._path is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            entries = load_configuration(self._path)
            kept = {entry.type for entry in entries if entry.type != WEBHOOK}
            if kept != self._builtin.keys():
                raise Fatal("only authorizers of type Webhook may be added, changed or removed")
            self._union = self._build(entries)
        except Fatal as fault:
            log.error("%s; the former configuration stays in force", fault)
            self._metrics.file.reloaded(self._clock.now().timestamp(), ok=False)
            return
        self._metrics.file.reloaded(self._clock.now().timestamp(), ok=True)
        self._in_effect()
        log.info("loaded changed authorization configuration path=%s", self._path)

    def _in_effect(self) -> None:
        """Show which file is in force."""
        if self._path is not None:
            with suppress(OSError):  # It is being replaced: the next look finds the new one.
                self._metrics.file.in_effect(self._path.read_bytes())


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None

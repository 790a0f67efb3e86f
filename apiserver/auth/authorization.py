"""The authorisers that the settings name, in their order."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kplane.runtime.process import Fatal

from .authorizer import AlwaysAllow, AlwaysDeny, Authorizer, Union
from .flags import PREFIX as AUTH_PREFIX
from .flags import words

PREFIX = f"{AUTH_PREFIX}authorization."
ALWAYS_ALLOW, ALWAYS_DENY, NODE, RBAC = "AlwaysAllow", "AlwaysDeny", "Node", "RBAC"
MODES = (ALWAYS_ALLOW, ALWAYS_DENY, NODE, RBAC)
UPSTREAM_MODES = (*MODES, "ABAC", "Webhook")


@dataclass(frozen=True, kw_only=True)
class AuthorizationSettings:
    modes: tuple[str, ...] = (ALWAYS_ALLOW,)

    @property
    def bootstraps_policy(self) -> bool:
        return RBAC in self.modes

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        for mode in self.modes:
            if mode not in UPSTREAM_MODES:
                raise Fatal(f'authorization-mode "{mode}" is not a valid mode')
            if mode not in MODES:
                raise Fatal(f'authorization-mode "{mode}" is not supported: use Node, RBAC')
        if len(set(self.modes)) < len(self.modes):
            raise Fatal(f"authorization-mode {list(self.modes)} has mode specified more than once")


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--authorization-mode",
        dest=f"{PREFIX}modes",
        type=words,
        action="extend",
        default=argparse.SUPPRESS,
        help="authorisers, in their order and separated by commas: AlwaysAllow, AlwaysDeny, Node, RBAC",
    )


def settings(args: Mapping[str, Any]) -> AuthorizationSettings:
    """From the parsed flags. Raises Fatal."""
    found = {name.removeprefix(PREFIX): value for name, value in args.items() if name.startswith(PREFIX)}
    made = AuthorizationSettings(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    )
    made.check()
    return made


@dataclass(frozen=True)
class Makers:
    """How to make what needs the server's caches."""

    node: Callable[[], Authorizer]
    rbac: Callable[[], Authorizer]


def build(settings: AuthorizationSettings, makers: Makers) -> Authorizer:
    makes: Mapping[str, Callable[[], Authorizer]] = {
        ALWAYS_ALLOW: AlwaysAllow,
        ALWAYS_DENY: AlwaysDeny,
        NODE: makers.node,
        RBAC: makers.rbac,
    }
    return Union([makes[mode]() for mode in settings.modes])

"""Values that flags choose from; apart from the verbs, so that declaring a flag imports nothing else."""

from __future__ import annotations

from enum import StrEnum


class DryRun(StrEnum):
    """What is asked of the server: all of it, nothing that changes anything, or to try without keeping it."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"

    @property
    def suffix(self) -> str:
        """What stands behind a line about something that was not kept."""
        return {DryRun.NONE: "", DryRun.CLIENT: " (dry run)", DryRun.SERVER: " (server dry run)"}[self]


class Cascade(StrEnum):
    """What becomes of an object's dependents; the API's propagation policies in lower case."""

    BACKGROUND = "background"
    FOREGROUND = "foreground"
    ORPHAN = "orphan"

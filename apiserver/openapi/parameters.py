"""The parameters of the API's operations: name, type and meaning of each, and which operation takes which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, or of the path."""

    name: str
    type: str
    description: str
    where: str = "query"


def _table(*parameters: Parameter) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


PATH: Final = _table(
    Parameter("name", "string", "name of the object", "path"),
    Parameter("namespace", "string", "namespace of the object, such as for teams and projects", "path"),
    Parameter("path", "string", "the part of the URL that is passed on to the backend", "path"),
)

QUERY: Final = _table(
    Parameter("allowWatchBookmarks", "boolean", "whether the watch may send events of type BOOKMARK"),
    Parameter("command", "string", "the command to execute, one parameter for each argument"),
    Parameter("container", "string", "the container; may be left out if the pod has only one"),
    Parameter("continue", "string", "token of the previous page of the list; valid for some minutes"),
    Parameter("dryRun", "string", "All: do everything except for storing the result"),
    Parameter("fieldManager", "string", "name of the actor that makes the change"),
    Parameter("fieldSelector", "string", "restricts the objects by their fields; everything by default"),
    Parameter(
        "fieldValidation", "string", "how unknown and duplicate fields are met: Ignore, Warn or Strict"
    ),
    Parameter("follow", "boolean", "whether to go on with what is logged from now on"),
    Parameter("force", "boolean", "whether to take over fields that other managers own, when applying"),
    Parameter("gracePeriodSeconds", "integer", "seconds until the object is deleted; 0 deletes immediately"),
    Parameter(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "whether to delete an object that cannot be read from the store any more",
    ),
    Parameter("insecureSkipTLSVerifyBackend", "boolean", "whether to accept any certificate of the kubelet"),
    Parameter("labelSelector", "string", "restricts the objects by their labels; everything by default"),
    Parameter("limit", "integer", "the largest number of objects in one answer"),
    Parameter("limitBytes", "integer", "the largest number of bytes of the log"),
    Parameter("orphanDependents", "boolean", "deprecated, use propagationPolicy"),
    Parameter("ports", "integer", "the ports to forward"),
    Parameter("pretty", "string", "true: indent the answer"),
    Parameter("previous", "boolean", "whether to return the log of the container's previous run"),
    Parameter("propagationPolicy", "string", "what becomes of dependents: Orphan, Background or Foreground"),
    Parameter("resourceVersion", "string", "what the answer must not be older than"),
    Parameter("resourceVersionMatch", "string", "how resourceVersion is meant: Exact or NotOlderThan"),
    Parameter("sendInitialEvents", "boolean", "whether the watch begins with the objects that exist"),
    Parameter("sinceSeconds", "integer", "how many seconds the log goes back"),
    Parameter("stderr", "boolean", "whether the standard error stream is wanted"),
    Parameter("stdin", "boolean", "whether standard input is sent"),
    Parameter("stdout", "boolean", "whether the standard output stream is wanted"),
    Parameter("stream", "string", "the stream of the log: All, Stdout or Stderr"),
    Parameter("tailLines", "integer", "number of lines from the end of the log"),
    Parameter("timeoutSeconds", "integer", "seconds after which a list or a watch ends"),
    Parameter("timestamps", "boolean", "whether each line begins with its time"),
    Parameter("tty", "boolean", "whether a terminal is allocated"),
    Parameter("watch", "boolean", "whether to watch for changes instead of returning a list"),
)

LIST: Final = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
PATCH: Final = (*WRITE, "force")
DELETE: Final = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)
DELETE_COLLECTION: Final = (
    *DELETE,
    *(name for name in LIST if name not in ("allowWatchBookmarks", "watch")),
)

SUBRESOURCE: Final = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "log": (
        "container",
        "follow",
        "insecureSkipTLSVerifyBackend",
        "limitBytes",
        "previous",
        "sinceSeconds",
        "stream",
        "tailLines",
        "timestamps",
    ),
    "portforward": ("ports",),
}
"""What the options of some subresources are; those of `proxy` are the path alone."""

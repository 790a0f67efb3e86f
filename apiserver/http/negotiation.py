"""Media types: what a client accepts, and what its body is.

JSON and YAML in both directions; `Table` and `PartialObjectMetadata` as output forms of either. Protobuf is
read, and written for clients that take nothing else: those that merely prefer it get the stored bytes.
Wording: apiserver `pkg/endpoints/handlers/negotiation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kplane.api.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_YAML_NAMES = frozenset({YAML, "application/x-yaml", "text/yaml"})
_JSON_NAMES = frozenset({JSON, "application/*", "*/*"})
_FORMS = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})


@dataclass(frozen=True, slots=True)
class Output:
    """How to answer: a media type, and the kind to convert objects into ("": as they are)."""

    media_type: str
    form: str = ""
    form_version: str = ""


PLAIN_JSON = Output(JSON)


@lru_cache(maxsize=512)
def output_of(accept: str, *, convertible: bool = True, binary: bool = False) -> Output:
    """The best form that the `Accept` header allows. Raises NotAcceptable.

    With `convertible` false (watch of a discovery document, scale, …) the conversions are not offered.
    `binary`: whether the objects have a form in protobuf; the metadata of any object has.
    """
    if not accept:
        return PLAIN_JSON
    clauses = _by_preference(accept)
    for clause in clauses:
        if output := _output(clause, convertible):
            return output
    for clause in clauses:
        if (output := _binary_output(clause, convertible)) and (binary or output.form):
            return output
    raise not_acceptable(JSON, YAML, *([PROTOBUF] if binary else []))


def not_acceptable(*offered: str) -> NotAcceptable:
    return NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")


def _by_preference(accept: str) -> list[list[str]]:
    """The header's clauses as [type, parameter, …], highest `q` first, else in order."""
    clauses = [[part.strip() for part in clause.split(";")] for clause in accept.split(",")]
    return sorted(clauses, key=lambda parts: -_quality(parts[1:]))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _output(clause: list[str], convertible: bool) -> Output | None:
    media_type = clause[0].lower()
    if media_type in _YAML_NAMES:
        chosen = YAML
    elif media_type in _JSON_NAMES:
        chosen = JSON
    else:
        return None
    return _formed(chosen, clause[1:], convertible)


def _binary_output(clause: list[str], convertible: bool) -> Output | None:
    """Tables have no form in protobuf."""
    if clause[0].lower() != PROTOBUF:
        return None
    output = _formed(PROTOBUF, clause[1:], convertible)
    return None if output is None or output.form == "Table" else output


def _formed(chosen: str, asked: list[str], convertible: bool) -> Output | None:
    parameters = dict(item.split("=", 1) for item in asked if "=" in item)
    form = parameters.get("as", "")
    if not form:
        return Output(chosen)
    known = (
        form in _FORMS and parameters.get("g") == "meta.k8s.io" and parameters.get("v") in ("v1", "v1beta1")
    )
    return Output(chosen, form, parameters["v"]) if known and convertible else None


@lru_cache(maxsize=512)
def input_of(content_type: str) -> str:
    """JSON, YAML or PROTOBUF for a request's `Content-Type`. Raises UnsupportedMediaType."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", JSON):
        return JSON
    if media_type in _YAML_NAMES:
        return YAML
    if media_type == PROTOBUF:
        return PROTOBUF
    raise unsupported(JSON, YAML, PROTOBUF)


def unsupported(*accepted: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )

"""Validating and mutating admission policies, and their bindings.

Source: `pkg/apis/admissionregistration/validation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from kplane.api import names
from kplane.api.cel.admission import (
    compiled,
    environment,
)
from kplane.api.field import FieldError, Path
from kplane.api.jsonpath import JSONPathError
from kplane.api.jsonpath import parse as parse_jsonpath
from kplane.api.resource import Object

from .admissionrules import FAILURE_POLICIES, MATCH_POLICIES, validate_conditions, validate_rule
from .conditions import validate_conditions as validate_status_conditions
from .labels import validate_selector
from .policyexpressions import (
    Compiler,
    validate_audit_annotations,
    validate_mutation,
    validate_validation,
    validate_variables,
)
from .status import StatusStrategy
from .strategy import Strategy

MUTATING_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
ACTIONS = ("Audit", "Deny", "Warn")
NOT_FOUND_ACTIONS = ("Deny", "Allow")
_NO_ITEMS = "validations or auditAnnotations must contain at least one item"
_EXCLUSIVE = "name and selector are mutually exclusive"
_DENY_AND_WARN = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API "
    "response and headers serves no purpose)"
)


class ValidatingAdmissionPolicyStrategy(StatusStrategy):
    unconditional_update = False

    def default(self, obj: Object) -> None:
        _default_policy(obj)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_validating(obj, path, conditions=True)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_validating(new, path, conditions=_conditions_changed(new, old))

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status = new.get("status") or {}
        warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or ()
        for index, warning in enumerate(warnings):
            yield from _validate_warning(warning, path.status.typeChecking.expressionWarnings[index])
        yield from validate_status_conditions(status.get("conditions") or (), path.status.conditions)


class MutatingAdmissionPolicyStrategy(Strategy):
    unconditional_update = False

    def default(self, obj: Object) -> None:
        _default_policy(obj)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_mutating(obj, path, conditions=True)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate_mutating(new, path, conditions=_conditions_changed(new, old))


class AdmissionPolicyBindingStrategy(Strategy):
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def default(self, obj: Object) -> None:
        _default_resources(obj.setdefault("spec", {}).get("matchResources"))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        if not (name := spec.get("policyName")):
            yield here.policyName.required()
        else:
            for text in names.dns_subdomain(name):
                yield here.policyName.invalid(name, text)
        if spec.get("paramRef") is not None:
            yield from _validate_param_ref(spec["paramRef"], here.paramRef)
        if spec.get("matchResources") is not None:
            yield from _validate_resources(spec["matchResources"], here.matchResources)
            if self._mutating:
                yield from _validate_operations(spec["matchResources"], here.matchResources)
        if not self._mutating:
            yield from _validate_actions(spec.get("validationActions") or [], here.validationActions)


# Defaults


def _default_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    _default_resources(spec.get("matchConstraints"))


def _default_resources(resources: Object | None) -> None:
    if resources is None:
        return
    for name, value in (("matchPolicy", "Equivalent"), ("namespaceSelector", {}), ("objectSelector", {})):
        if resources.get(name) is None:
            resources[name] = value
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(name) or ():
            rule.setdefault("scope", "*")


# Policies


def _conditions_changed(new: Object, old: Object) -> bool:
    """Whether match conditions that were sound may not be any more."""
    after, before = new["spec"], old["spec"]
    return any(after.get(name) != before.get(name) for name in ("paramKind", "matchConditions"))


def _validate_validating(obj: Object, path: Path, *, conditions: bool) -> Iterator[FieldError]:
    spec, here = obj["spec"], path.spec
    yield from _validate_head(spec, here)
    yield from _validate_constraints(spec, here)
    if conditions:
        yield from _validate_conditions(spec, here)
    compiler = Compiler(spec)
    yield from validate_variables(spec, compiler, here.variables)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        yield here.validations.required(_NO_ITEMS)
        yield here.auditAnnotations.required(_NO_ITEMS)
    for index, validation in enumerate(validations):
        yield from validate_validation(validation, compiler, here.validations[index])
    yield from validate_audit_annotations(obj, annotations, compiler, here.auditAnnotations)


def _validate_mutating(obj: Object, path: Path, *, conditions: bool) -> Iterator[FieldError]:
    spec, here = obj["spec"], path.spec
    yield from _validate_head(spec, here)
    yield from _validate_constraints(spec, here)
    if spec.get("matchConstraints") is not None:
        yield from _validate_operations(spec["matchConstraints"], here.matchConstraints)
    if conditions:
        yield from _validate_conditions(spec, here)
    compiler = Compiler(spec, composed=True)
    yield from validate_variables(spec, compiler, here.variables)
    mutations = spec.get("mutations") or []
    if not mutations:
        yield here.mutations.required("mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        yield from validate_mutation(mutation, compiler, here.mutations[index])
    policy = spec.get("reinvocationPolicy")
    if not policy:
        yield here.reinvocationPolicy.required()
    elif policy not in REINVOCATION_POLICIES:
        yield here.reinvocationPolicy.not_supported(policy, REINVOCATION_POLICIES)


def _validate_head(spec: Object, path: Path) -> Iterator[FieldError]:
    if spec["failurePolicy"] not in FAILURE_POLICIES:
        yield path.failurePolicy.not_supported(spec["failurePolicy"], FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        yield from _validate_param_kind(spec["paramKind"], path.paramKind)


def _validate_conditions(spec: Object, path: Path) -> Iterator[FieldError]:
    # Variables cannot be used there.
    compile = partial(compiled, environment(params=spec.get("paramKind") is not None))
    yield from validate_conditions(spec.get("matchConditions") or (), path.matchConditions, compile)


def _validate_constraints(spec: Object, path: Path) -> Iterator[FieldError]:
    constraints, here = spec.get("matchConstraints"), path.matchConstraints
    if constraints is None:
        yield here.required()
        return
    yield from _validate_resources(constraints, here)
    if not constraints.get("resourceRules"):
        yield here.resourceRules.required()


def _validate_param_kind(kind: Object, path: Path) -> Iterator[FieldError]:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        yield path.apiVersion.required()
    elif version.count("/") > 1:
        yield path.apiVersion.invalid(version, f"unexpected GroupVersion string: {version}")
    else:
        yield from _validate_group_version(version, path.apiVersion)
    if not name:
        yield path.kind.required()
    elif faults := names.dns_1035_label(name.lower()):
        text = ",".join(faults)
        yield path.kind.invalid(name, f"may have mixed case, but should otherwise match: {text}")


def _validate_group_version(text: str, path: Path) -> Iterator[FieldError]:
    group, _, version = text.rpartition("/")
    if group and (faults := names.dns_subdomain(group)):
        yield path.invalid(group, ",".join(faults))
    if not version:
        yield path.invalid(text, "version must be specified")
    elif faults := names.dns_1035_label(version):
        yield path.invalid(version, ",".join(faults))


# What a policy is about


def _validate_resources(resources: Object, path: Path) -> Iterator[FieldError]:
    """A MatchResources."""
    if resources["matchPolicy"] not in MATCH_POLICIES:
        yield path.matchPolicy.not_supported(resources["matchPolicy"], MATCH_POLICIES)
    for name in ("namespaceSelector", "objectSelector"):
        yield from validate_selector(resources[name], path.child(name))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(name) or ()):
            yield from _validate_named_rule(rule, path.child(name)[index])


def _validate_named_rule(rule: Object, path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, name in enumerate(rule.get("resourceNames") or ()):
        for text in names.path_segment(name):
            yield path.resourceNames[index].invalid(name, text)
        if name in taken:
            yield path.resourceNames[index].duplicate(name)
        taken.add(name)
    yield from validate_rule(rule, path)


def _validate_operations(resources: Object, path: Path) -> Iterator[FieldError]:
    """There is nothing to change about a deletion."""
    for rule in resources.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in MUTATING_OPERATIONS:
                yield path.resourceRules.operations.not_supported(operation, MUTATING_OPERATIONS)


# Expressions


def _validate_param_ref(ref: Object, path: Path) -> Iterator[FieldError]:
    name, selector = ref.get("name") or "", ref.get("selector")
    if name:
        for text in names.path_segment(name):
            yield path.name.invalid(name, text)
        if selector is not None:
            yield path.name.forbidden(_EXCLUSIVE)
    if selector is not None:
        yield from validate_selector(selector, path.selector)
        if name:
            yield path.selector.forbidden(_EXCLUSIVE)
    if not name and selector is None:
        yield path.required("one of name or selector must be specified")
    action = ref.get("parameterNotFoundAction")
    if not action:
        yield path.parameterNotFoundAction.required()
    elif action not in NOT_FOUND_ACTIONS:
        yield path.parameterNotFoundAction.not_supported(action, NOT_FOUND_ACTIONS)


def _validate_actions(actions: Sequence[str], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            yield path[index].not_supported(action, ACTIONS)
        if action in taken:
            yield path[index].duplicate(action)
        taken.add(action)
    if {"Deny", "Warn"} <= taken:
        yield path.invalid(list(actions), _DENY_AND_WARN)
    if not taken:
        yield path.required("at least one validation action is required")


# Status


def _validate_warning(warning: Object, path: Path) -> Iterator[FieldError]:
    if not warning.get("warning"):
        yield path.warning.required()
    reference = (warning.get("fieldRef") or "").strip()
    if not reference:
        yield path.fieldRef.required()
        return
    try:
        parse_jsonpath(f"{{{reference}}}")
    except JSONPathError as error:
        yield path.fieldRef.invalid(reference, f"invalid JSONPath: {error}")

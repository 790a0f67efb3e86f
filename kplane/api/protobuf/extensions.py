"""The numbers of the two kinds that no kubectl links: CustomResourceDefinition and APIService.

Go's clients send these, too, in protobuf. Numbers of a released message never change; what a release adds
shows in the tests, which compare the table with the definitions.

Notation of a field: number, JSON name, type. `[]` after the type makes it a list, `{}` a map, `*` a pointer;
`?` says that JSON leaves an empty one out. Types of the same group are named without their package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from kplane.api.protobuf.row import Row
from kplane.api.schema import META

APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
APIREGISTRATION = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."

_SCALARS = ("string", "bytes", "bool", "int32", "int64", "double")
_SHAPES = {"": "value", "[]": "list", "{}": "map", "*": "pointer"}
_FIELD = re.compile(r"(\d+) (\S+) ([\w.]+)(\[\]|\{\}|\*)?(\?)?")

_CONDITION = (
    "1 type string, 2 status string, 3 lastTransitionTime meta.Time, 4 reason string?, 5 message string?"
)

_APIEXTENSIONS = {
    "CustomResourceColumnDefinition": (
        "1 name string, 2 type string, 3 format string?, 4 description string?, 5 priority int32?, "
        "6 jsonPath string"
    ),
    "CustomResourceConversion": "1 strategy string, 2 webhook WebhookConversion*?",
    "CustomResourceDefinition": (
        "1 metadata meta.ObjectMeta, 2 spec CustomResourceDefinitionSpec, "
        "3 status CustomResourceDefinitionStatus"
    ),
    "CustomResourceDefinitionList": "1 metadata meta.ListMeta, 2 items CustomResourceDefinition[]",
    "CustomResourceDefinitionCondition": f"{_CONDITION}, 6 observedGeneration int64?",
    "CustomResourceDefinitionNames": (
        "1 plural string, 2 singular string?, 3 shortNames string[]?, 4 kind string, 5 listKind string?, "
        "6 categories string[]?"
    ),
    "CustomResourceDefinitionSpec": (
        "1 group string, 3 names CustomResourceDefinitionNames, 4 scope string, "
        "7 versions CustomResourceDefinitionVersion[], 9 conversion CustomResourceConversion*?, "
        "10 preserveUnknownFields bool?"
    ),
    "CustomResourceDefinitionStatus": (
        "1 conditions CustomResourceDefinitionCondition[], 2 acceptedNames CustomResourceDefinitionNames, "
        "3 storedVersions string[], 4 observedGeneration int64?"
    ),
    "CustomResourceDefinitionVersion": (
        "1 name string, 2 served bool, 3 storage bool, 4 schema CustomResourceValidation*?, "
        "5 subresources CustomResourceSubresources*?, "
        "6 additionalPrinterColumns CustomResourceColumnDefinition[]?, 7 deprecated bool?, "
        "8 deprecationWarning string*?, 9 selectableFields SelectableField[]?"
    ),
    "CustomResourceSubresourceScale": (
        "1 specReplicasPath string, 2 statusReplicasPath string, 3 labelSelectorPath string*?"
    ),
    "CustomResourceSubresourceStatus": "",
    "CustomResourceSubresources": (
        "1 status CustomResourceSubresourceStatus*?, 2 scale CustomResourceSubresourceScale*?"
    ),
    "CustomResourceValidation": "1 openAPIV3Schema JSONSchemaProps*?",
    "ExternalDocumentation": "1 description string?, 2 url string?",
    "JSONSchemaProps": (
        "1 id string?, 2 $schema string?, 3 $ref string*?, 4 description string?, 5 type string?, "
        "6 format string?, 7 title string?, 8 default JSON*?, 9 maximum double*?, 10 exclusiveMaximum bool?, "
        "11 minimum double*?, 12 exclusiveMinimum bool?, 13 maxLength int64*?, 14 minLength int64*?, "
        "15 pattern string?, 16 maxItems int64*?, 17 minItems int64*?, 18 uniqueItems bool?, "
        "19 multipleOf double*?, 20 enum JSON[]?, 21 maxProperties int64*?, 22 minProperties int64*?, "
        "23 required string[]?, 24 items JSONSchemaPropsOrArray*?, 25 allOf JSONSchemaProps[]?, "
        "26 oneOf JSONSchemaProps[]?, 27 anyOf JSONSchemaProps[]?, 28 not JSONSchemaProps*?, "
        "29 properties JSONSchemaProps{}?, 30 additionalProperties JSONSchemaPropsOrBool*?, "
        "31 patternProperties JSONSchemaProps{}?, 32 dependencies JSONSchemaPropsOrStringArray{}?, "
        "33 additionalItems JSONSchemaPropsOrBool*?, 34 definitions JSONSchemaProps{}?, "
        "35 externalDocs ExternalDocumentation*?, 36 example JSON*?, 37 nullable bool?, "
        "38 x-kubernetes-preserve-unknown-fields bool*?, 39 x-kubernetes-embedded-resource bool?, "
        "40 x-kubernetes-int-or-string bool?, 41 x-kubernetes-list-map-keys string[]?, "
        "42 x-kubernetes-list-type string*?, 43 x-kubernetes-map-type string*?, "
        "44 x-kubernetes-validations ValidationRule[]?"
    ),
    "SelectableField": "1 jsonPath string",
    "ServiceReference": "1 namespace string, 2 name string, 3 path string*?, 4 port int32*?",
    "ValidationRule": (
        "1 rule string, 2 message string?, 3 messageExpression string?, 4 reason string*?, "
        "5 fieldPath string?, 6 optionalOldSelf bool*?"
    ),
    "WebhookClientConfig": "1 service ServiceReference*?, 2 caBundle bytes?, 3 url string*?",
    "WebhookConversion": "2 clientConfig WebhookClientConfig*?, 3 conversionReviewVersions string[]",
}

_APIREGISTRATION = {
    "APIService": "1 metadata meta.ObjectMeta, 2 spec APIServiceSpec, 3 status APIServiceStatus",
    "APIServiceList": "1 metadata meta.ListMeta, 2 items APIService[]",
    "APIServiceCondition": _CONDITION,
    "APIServiceSpec": (
        "1 service ServiceReference*?, 2 group string?, 3 version string?, 4 insecureSkipTLSVerify bool?, "
        "5 caBundle bytes?, 7 groupPriorityMinimum int32, 8 versionPriority int32"
    ),
    "APIServiceStatus": "1 conditions APIServiceCondition[]?",
    "ServiceReference": "1 namespace string?, 2 name string?, 3 port int32*?",
}


@cache
def messages() -> Mapping[str, tuple[Row, ...]]:
    """The rows of every message, by its name in the definitions."""
    groups = {APIEXTENSIONS: _APIEXTENSIONS, APIREGISTRATION: _APIREGISTRATION}
    return {
        package + name: tuple(_row(field, package) for field in text.split(", ") if field)
        for package, group in groups.items()
        for name, text in group.items()
    }


def _row(text: str, package: str) -> Row:
    field = _FIELD.fullmatch(text)
    assert field is not None, text
    number, name, of, shape, omitted = field.groups(default="")
    if of.startswith("meta."):
        of = META + of.removeprefix("meta.")
    elif of not in _SCALARS:
        of = package + of
    return Row(int(number), name, of, _SHAPES[shape], bool(omitted), name[:1].upper() + name[1:])

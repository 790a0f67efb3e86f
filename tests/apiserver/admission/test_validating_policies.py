"""ValidatingAdmissionPolicy, through HTTP."""

from __future__ import annotations

from ..conftest import Api, configmap
from .policies import Policies

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


async def test_what_a_policy_does_not_admit_is_refused(api: Api, policies: Policies) -> None:
    await policies.validating("blue", {"expression": "object.data.color != 'blue'"})

    refused = await api("POST", CONFIGMAPS, configmap())
    admitted = await api("POST", CONFIGMAPS, configmap("other", color="red"))

    message = (
        "ValidatingAdmissionPolicy 'blue' with binding 'blue' denied request: failed expression: "
        "object.data.color != 'blue'"
    )
    assert refused.code == 422
    assert refused.body["reason"] == "Invalid"
    assert refused.body["message"] == f'configmaps "settings" is forbidden: {message}'
    assert refused.body["details"] == {
        "name": "settings",
        "kind": "configmaps",
        "causes": [{"message": message}],
    }
    assert admitted.code == 201

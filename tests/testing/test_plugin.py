"""The pytest plugin's fixtures."""

from __future__ import annotations

import pytest

from kplane.api.errors import Invalid
from kplane.api.types import ConfigMap
from kplane.client.rest import Client
from kplane.testing import make_configmap


async def test_kplane_api_is_a_real_server(kplane_api: Client) -> None:
    await kplane_api.create(ConfigMap, make_configmap(data={"a": "b"}))

    assert (await kplane_api.get(ConfigMap, "settings", "default")).data == {"a": "b"}
    with pytest.raises(Invalid):
        await kplane_api.create(ConfigMap, make_configmap("Not a name"))

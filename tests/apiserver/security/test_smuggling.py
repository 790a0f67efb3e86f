"""Headers that claim to be somebody, from those who may not say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.runtime import pki

from ..auth.rbac.conftest import rule, user
from .conftest import Wire

pytestmark = pytest.mark.slow

PROXY = "front-proxy-client"
ROOT = ("X-Remote-User: root", "X-Remote-Group: system:masters")
ANN = "Authorization: Bearer ann"
MINE, OTHER = (f"fieldSelector=metadata.name%3D{name}" for name in ("mine", "other"))
BOB = "Authorization: Bearer bob"


async def test_nobody_is_who_a_header_says_without_the_proxys_certificate(wire: Wire) -> None:
    _, admin = await wire.whoami(*ROOT, certificate="admin")
    code, token = await wire.whoami(BOB, *ROOT)
    stranger, refusal = await wire.whoami(*ROOT)

    assert (admin["username"], "system:masters" in admin["groups"]) == ("kubernetes-admin", False)
    assert (code, token["username"]) == (201, "bob")
    assert token["groups"] == ["system:authenticated"]
    assert stranger == 403
    assert 'User "system:anonymous"' in refusal["message"]


async def test_underscores_are_no_dashes(wire: Wire) -> None:
    code, _ = await wire.whoami("X_Remote_User: root", certificate=PROXY)
    _, shown = await wire.whoami("X-Remote-User: ann", "X_Remote_Group: system:masters", certificate=PROXY)
    _, bob = await wire.whoami(BOB, "Impersonate_User: root")

    assert code == 401
    assert (shown["username"], shown["groups"]) == ("ann", ["system:authenticated"])
    assert bob["username"] == "bob"


async def test_of_a_repeated_name_the_first_counts(wire: Wire) -> None:
    _, shown = await wire.whoami("X-Remote-User: ann", "X-Remote-User: root", certificate=PROXY)

    assert shown["username"] == "ann"


async def test_a_name_does_not_begin_in_another_headers_value(wire: Wire) -> None:
    """A bare line feed or a folded line would make two headers of one."""
    for header in ("X-Harmless: a\nX-Remote-User: root", "X-Harmless: a\r\n X-Remote-User: root"):
        code, shown = await wire.whoami("X-Remote-User: ann", header, certificate=PROXY)

        assert code in (0, 400) or shown["username"] == "ann"


async def test_the_proxy_itself_is_nobody(wire: Wire) -> None:
    code, _ = await wire.whoami(certificate=PROXY)

    assert code == 401


async def test_certificates_of_other_authorities_or_for_servers_open_nothing(
    wire: Wire, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    pki.ensure(foreign, server_names=["localhost"], server_ips=["127.0.0.1"])

    for name, folder in (("admin", foreign), ("apiserver", wire.keys), (PROXY, foreign)):
        code, _ = await wire.whoami(*ROOT, certificate=name, folder=folder)

        assert code in (0, 401), name


async def test_methods_are_what_the_request_line_says(wire: Wire) -> None:
    """No header turns a read into a write, and no spelling of a method is another one."""
    path = "/api/v1/namespaces/default"
    code, _ = await wire.send("GET", path, "X-HTTP-Method-Override: DELETE", BOB)
    assert code == 403
    for method in ("get", "Delete", "PROPFIND", "TRACE"):
        code, _ = await wire.send(method, path, BOB)
        assert code in (0, 400, 403, 405), method
    code, body = await wire.send("GET", path, certificate="apiserver-kubelet-client")
    assert code == 403 or body["metadata"]["name"] == "default"


async def test_repeated_parameters_mean_the_same_to_who_decides_and_who_serves(wire: Wire) -> None:
    await wire.guarded.role("listing", rule("list", "core", "configmaps"))
    await wire.guarded.bind("listing", user("ann"))
    path = "/api/v1/namespaces/default/configmaps"

    listed, body = await wire.send("GET", f"{path}?watch=false&watch=true", ANN)
    watched, _ = await wire.send("GET", f"{path}?watch=true&watch=false", ANN)
    older, _ = await wire.send("GET", "/api/v1/watch/configmaps", ANN)

    assert (listed, watched, older) == (200, 403, 403)
    assert body["kind"] == "ConfigMapList"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param(f"{MINE}", 200, id="its name"),
        pytest.param(f"{MINE}&{OTHER}", 200, id="its name first"),
        pytest.param(f"{OTHER}&{MINE}", 403, id="another name first"),
        pytest.param(f"{OTHER}", 403, id="another name"),
        pytest.param(f"{MINE.replace('%3D', '!%3D')}", 403, id="every other name"),
        pytest.param("", 403, id="no name"),
        pytest.param(f"{MINE}%2Cmetadata.namespace%3Ddefault", 200, id="and its namespace"),
    ],
)
async def test_a_selected_name_narrows_what_is_served_as_it_narrows_what_is_asked(
    wire: Wire, query: str, code: int
) -> None:
    """Who may list one object alone sees no other, however often the query names one."""
    path = "/api/v1/namespaces/default/configmaps"
    for name in ("mine", "other"):
        await wire.guarded.admin.make(path, {"metadata": {"name": name}})
    await wire.guarded.role("one", rule("list", "core", "configmaps", "mine"))
    await wire.guarded.bind("one", user("ann"))

    found, body = await wire.send("GET", f"{path}?{query}", ANN)

    assert found == code
    assert [item["metadata"]["name"] for item in body.get("items", ())] in ([], ["mine"])

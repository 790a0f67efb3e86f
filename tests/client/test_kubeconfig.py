"""Kubeconfig files: found, merged, written, and refused with a sentence that helps."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplane.client import kubeconfig
from kplane.client.kubeconfig import ConfigError, Credentials, load, write

FULL = Credentials(
    server="https://127.0.0.1:6443",
    ca=b"CA",
    certificate=b"CERT",
    key=b"KEY",
    token="hush",
    namespace="team",
    tls_server_name="api",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that nothing of this machine is read."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def save(path: Path, **parts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **parts}))
    return path


def cluster(name: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, "cluster": {"server": f"https://{name}", **fields}}]


def user(name: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, "user": fields}]


def context(name: str, of: str, who: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, "context": {"cluster": of, "user": who, **fields}}]


def simple(path: Path, **user_fields: Any) -> Path:
    return save(
        path,
        clusters=cluster("one"),
        users=user("me", **user_fields),
        contexts=context("main", "one", "me"),
        **{"current-context": "main"},
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "admin.kubeconfig"

    write(path, FULL)

    assert load(path) == FULL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_home_is_read_where_nothing_else_is_named(home: Path) -> None:
    simple(home / ".kube" / "config", token="t")

    assert load().server == "https://one"


def test_listed_files_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save(
        tmp_path / "a",
        users=user("me", token="first"),
        contexts=context("main", "two", "me", namespace="team"),
        **{"current-context": "main"},
    )
    second = save(
        tmp_path / "b",
        clusters=cluster("two"),
        users=user("me", token="second"),
        **{"current-context": "other"},
    )
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")

    found = load()

    assert (found.server, found.token, found.namespace) == ("https://two", "first", "team")


def test_another_context_can_be_asked_for(tmp_path: Path) -> None:
    path = save(
        tmp_path / "config",
        clusters=cluster("one") + cluster("two"),
        contexts=context("main", "one", "") + context("spare", "two", ""),
        **{"current-context": "main"},
    )

    assert load(path, "spare").server == "https://two"


def test_named_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    for name in ("ca", "crt", "key"):
        (tmp_path / "pki" / name).write_bytes(name.encode())
    path = save(
        tmp_path / "config",
        clusters=cluster("one", **{"certificate-authority": "pki/ca"}),
        users=user("me", **{"client-certificate": "pki/crt", "client-key": "pki/key", "tokenFile": "token"}),
        contexts=context("main", "one", "me"),
        **{"current-context": "main"},
    )

    found = load(path)

    assert (found.ca, found.certificate, found.key) == (b"ca", b"crt", b"key")
    assert found.token_file == tmp_path / "token"


def test_embedded_data_wins_over_files(tmp_path: Path) -> None:
    data = base64.b64encode(b"embedded").decode()
    path = save(
        tmp_path / "config",
        clusters=cluster("one", **{"certificate-authority": "absent", "certificate-authority-data": data}),
        contexts=context("main", "one", ""),
        **{"current-context": "main"},
    )

    assert load(path).ca == b"embedded"


def test_service_account_is_used_inside_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    found = load()

    assert found.server == "https://[fd00::1]:443"
    assert (found.ca, found.namespace, found.token_file) == (b"ca.crt", "namespace", tmp_path / "token")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"exec": {"command": "aws"}}, "uses 'exec' credentials, which are not", id="exec"),
        pytest.param({"client-certificate-data": "***"}, "is not base64", id="base64"),
        pytest.param({"client-certificate": "absent"}, "cannot read", id="missing file"),
        pytest.param(
            {"client-certificate-data": "eA=="}, "both client-certificate and client-key", id="half"
        ),
    ],
)
def test_unusable_users_are_explained(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = simple(tmp_path / "config", **fields)

    with pytest.raises(ConfigError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param({}, "no current-context", id="nothing"),
        pytest.param({"current-context": "x"}, "no context named 'x'", id="context"),
        pytest.param(
            {"current-context": "x", "contexts": context("x", "y", "z")}, "no cluster named 'y'", id="cluster"
        ),
        pytest.param(
            {"current-context": "x", "contexts": context("x", "y", "z"), "clusters": cluster("y")},
            "no user named 'z'",
            id="user",
        ),
        pytest.param({"clusters": [3]}, "malformed list 'clusters'", id="shape"),
    ],
)
def test_gaps_are_explained(tmp_path: Path, parts: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "config", **parts)

    with pytest.raises(ConfigError, match=message):
        load(path)


@pytest.mark.parametrize("text", ["token: [hush", "- hush", "\tx: hush"])
def test_broken_files_are_refused_without_quoting_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(path) in str(caught.value)
    assert "hush" not in str(caught.value)


def test_nothing_found_says_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(ConfigError, match=str(home / ".kube" / "config")):
        load()

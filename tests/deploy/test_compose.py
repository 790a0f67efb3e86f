"""The cluster of containers: what its services may do, and who gets which secret."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from kplane.cli import init
from kplane.cli.layout import Layout
from kplane.runtime.process import Fatal

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "compose"
FILE = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Mapping[str, Any]] = FILE["services"]
WORKERS = sorted(name for name in SERVICES if name.startswith("worker-"))
CONTROL_PLANE = sorted(set(SERVICES) - {*WORKERS, "init"})

RUNS_CONTAINERS = {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"}
DOCKERS_DEFAULT = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


@pytest.fixture
def images() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("images")


@pytest.fixture
def module() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("cluster")


def given() -> dict[str, list[str]]:
    """What init.sh hands out: service -> user, and files."""
    text = (FOLDER / "bin" / "init.sh").read_text().replace("\\\n", " ")
    return {line.split()[1]: line.split()[2:] for line in text.splitlines() if line.startswith("give ")}


def mounts(service: str) -> dict[str, str]:
    """Source -> target and mode."""
    return dict(text.split(":", 1) for text in SERVICES[service].get("volumes", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_is_privileged_or_sees_the_machine(name: str) -> None:
    service = SERVICES[name]

    assert not {"privileged", "pid", "ipc", "devices", "userns_mode", "cgroup_parent"} & set(service)
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service.get("network_mode", "none") == "none"
    ours = {source for source in mounts(name) if source.startswith(("/", "."))}
    assert ours <= ({"/sys/fs/cgroup"} if name in WORKERS else set())


@pytest.mark.parametrize("name", CONTROL_PLANE)
def test_the_control_plane_has_no_root_and_no_capability(name: str) -> None:
    service = SERVICES[name]

    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    user, group = service["user"].split(":")
    assert int(user) >= 10000
    assert user == group
    assert not {
        target for target in mounts(name).values() if target.startswith("/etc") and ":ro" not in target
    }


def test_each_part_of_the_control_plane_is_a_user_of_its_own() -> None:
    users = [SERVICES[name]["user"] for name in CONTROL_PLANE]

    assert len(set(users)) == len(users)


def test_init_may_give_files_away_and_nothing_else() -> None:
    assert SERVICES["init"]["cap_add"] == ["CHOWN"]
    assert SERVICES["init"]["network_mode"] == "none"


@pytest.mark.parametrize("name", WORKERS)
def test_workers_have_the_named_capabilities(name: str) -> None:
    assert set(SERVICES[name]["cap_add"]) == RUNS_CONTAINERS | DOCKERS_DEFAULT


@pytest.mark.parametrize("name", WORKERS)
def test_workers_see_their_own_files_and_the_token(name: str) -> None:
    assert mounts(name) == {name: "/var/lib/kplane", "join": "/join:ro", "/sys/fs/cgroup": "/sys/fs/cgroup"}


def test_no_two_workers_share_addresses_or_cgroups() -> None:
    for flag in ("--pod-cidr=", "--cgroup-root="):
        words = [word for name in WORKERS for word in SERVICES[name]["command"] if word.startswith(flag)]
        assert len(words) == len(set(words)) == len(WORKERS)


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_workers_do_not_reach_etcd() -> None:
    assert list(SERVICES["etcd"]["networks"]) == ["store"]
    assert FILE["networks"]["store"]["internal"] is True
    assert not [name for name in WORKERS if "store" in SERVICES[name]["networks"]]


def test_only_init_sees_everything() -> None:
    assert [name for name in SERVICES if "cluster" in mounts(name)] == ["init"]


def test_one_service_holds_the_authoritys_key_and_none_the_others() -> None:
    keys = {"pki/ca.key", "pki/front-proxy-ca.key", "pki/etcd/ca.key"}

    assert {name: sorted(keys & set(files)) for name, files in given().items() if keys & set(files)} == {
        "controller-manager": ["pki/ca.key"]
    }


@pytest.mark.parametrize("name", CONTROL_PLANE)
def test_every_file_that_a_service_names_is_handed_to_it(name: str) -> None:
    [volume] = [source for source, target in mounts(name).items() if target == "/etc/kplane:ro"]
    user, *files = given()[volume]
    words = [*SERVICES[name]["command"], *SERVICES[name].get("healthcheck", {}).get("test", ())]
    if name == "bootstrap":
        words = (FOLDER / "bin" / "bootstrap.sh").read_text().split()

    named = {word.rpartition("=")[2].removeprefix("/etc/kplane/") for word in words if "/etc/kplane/" in word}

    assert named <= set(files)
    # The administrator's own is for people: `docker-compose run bootstrap cat /etc/kplane/admin.conf`.
    assert set(files) - named <= {"admin.conf"}
    assert SERVICES[name]["user"] == f"{user}:{user}"


def test_no_secret_is_in_the_environment() -> None:
    names = {name for service in SERVICES.values() for name in service.get("environment", {})}

    assert not [name for name in names if re.search("SECRET|PASSWORD|KEY|TOKEN(?!_TTL)", name)]


def test_every_setting_has_a_default() -> None:
    used = set(re.findall(r"\$\{(\w+)", (FOLDER / "docker-compose.yml").read_text()))
    lines = (FOLDER / ".env").read_text().splitlines()

    assert used == {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("component", ["apiserver", "scheduler", "controller-manager"])
def test_components_are_started_as_kplane_init_says(component: str) -> None:
    layout = Layout(Path("/etc/kplane"))
    wish = init.Wish(endpoint="apiserver", etcd_servers=["https://etcd:2379"])
    [said] = [made.words for made in init.commands(layout, wish) if made.words[1] == component]
    settings = {"https://etcd:2379": "${KPLANE_ETCD_SERVERS}", "10.96.0.0/16": "${KPLANE_SERVICE_CIDR}"}

    wanted = {replaced(word, settings) for word in said}

    assert wanted <= set(SERVICES[component]["command"])


def replaced(word: str, settings: Mapping[str, str]) -> str:
    flag, equals, value = word.partition("=")
    return f"{flag}{equals}{settings.get(value, value)}"


def test_etcd_trusts_its_own_authority_alone() -> None:
    command = set(SERVICES["etcd"]["command"])

    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= command
    assert "--trusted-ca-file=/etc/kplane/pki/etcd/ca.crt" in command


def apt(tmp_path: Path, patch: pytest.MonkeyPatch, lines: Sequence[str]) -> None:
    """An apt-get that knows these sources."""
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    patch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("KPLANE_DEBIAN_MIRROR", "KPLANE_DEBIAN_SUITE"):
        patch.delenv(name, raising=False)


async def test_the_base_comes_from_where_apt_takes_debian(
    images: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [
        "Somebody main http://a.test/repo bookworm",
        "Debian main http://security.test/ bookworm-security",
        "Debian contrib http://b.test/debian/ bookworm",
        "Debian main http://mirror.test/debian/ bookworm",
    ]
    apt(tmp_path, monkeypatch, sources)

    assert await images.mirror() == images.Mirror("http://mirror.test/debian/", "bookworm")

    monkeypatch.setenv("KPLANE_DEBIAN_MIRROR", "http://other.test/")
    assert await images.mirror() == images.Mirror("http://other.test/", "bookworm")


async def test_a_machine_without_debian_is_told_what_to_do(
    images: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt(tmp_path, monkeypatch, ["Ubuntu main http://a.test/ubuntu noble"])

    with pytest.raises(Fatal, match="KPLANE_BASE_IMAGE"):
        await images.mirror()


async def test_a_base_by_name_needs_an_engine_that_can_pull_it(
    images: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPLANE_BASE_IMAGE", "debian:12-slim")

    with pytest.raises(Fatal, match="the demo's own reaches neither"):
        await images.build(images.Engine({}, own=True), "localhost/kplane:dev")


@pytest.mark.slow
def test_what_is_built_has_every_component(images: ModuleType, tmp_path: Path) -> None:
    images._copy_source(tmp_path / "source")

    links = [path for path in (tmp_path / "source" / "kplane").iterdir() if path.is_symlink()]
    assert "cli" in {link.name for link in links}
    assert all((link / "__init__.py").exists() for link in links)
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_environment_goes_before_the_defaults(module: ModuleType) -> None:
    made = module.settings(module.Engine({"KPLANE_NET": "192.0.2", "KPLANE_API_PORT": "6443"}))

    assert made["KPLANE_NET"] == "192.0.2"
    assert made["KPLANE_API_PORT"] == "6443"
    assert made["COMPOSE_PROJECT_NAME"] == "kplane"


def test_the_apis_port_is_chosen_once(module: ModuleType) -> None:
    assert int(module.settings(module.Engine({}))["KPLANE_API_PORT"])


def test_demos_with_engines_of_their_own_have_names_of_their_own(module: ModuleType) -> None:
    """cgroups are the machine's, and named after the project."""
    own = module.Engine({}, own=True)

    assert len({module.settings(own)["COMPOSE_PROJECT_NAME"] for _ in range(3)}) == 3
    named = module.Engine({"COMPOSE_PROJECT_NAME": "mine"}, own=True)
    assert module.settings(named)["COMPOSE_PROJECT_NAME"] == "mine"

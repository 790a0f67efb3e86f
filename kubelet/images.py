"""Getting images onto the node: pull policy, back-off, one pull at a time if so configured.

Source: the kubelet's `images/image_manager.go`; reasons, messages and events are its.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kplane.api.clock import Clock

from .backoff import BackOff
from .pod import Container, Pod
from .runtime.interface import Auth, Image, Runtime, RuntimeFailure

Tell = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Record an event about the container: type, reason, message."""

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"^(?P<name>(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[a-zA-Z0-9+._-]+:[0-9a-fA-F]{32,}))?$",
    re.ASCII,
)


class ImageFailure(Exception):
    """The container cannot have its image; `reason` is its waiting state's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def with_default_tag(image: str) -> str:
    """`busybox` -> `busybox:latest`. Raises ValueError, worded as upstream's parser words it."""
    found = _REFERENCE.match(image)
    if found is None:
        why = "invalid reference format"
        if image.lower() != image and _REFERENCE.match(image.lower()):
            why = "invalid reference format: repository name must be lowercase"
        raise ValueError(f'couldn\'t parse image name "{image}": {why}')
    return image if found["tag"] or found["digest"] else f"{image}:latest"


@dataclass(frozen=True)
class _Wanted:
    pod: Pod
    container: Container
    reference: str

    @property
    def back_off_key(self) -> str:
        return f"{self.pod.metadata.uid}_{self.reference}"


class ImageManager:
    """Shared by all pods of a node."""

    def __init__(self, runtime: Runtime, clock: Clock, *, serialize: bool) -> None:
        self._runtime, self._clock = runtime, clock
        self._back_off = BackOff()
        self._failed_at: dict[str, float] = {}
        self._causes: dict[str, str] = {}
        self._one_at_a_time = asyncio.Semaphore(1 if serialize else 64)

    async def ensure(self, pod: Pod, container: Container, auths: Sequence[Auth], tell: Tell) -> Image:
        """The image, pulled if the policy says so. Raises ImageFailure, RuntimeFailure."""
        wanted = _Wanted(pod, container, self._parse(container, tell))
        present = await self._look(container, wanted.reference, tell)
        policy = container.image_pull_policy
        if present is not None and policy != "Always":
            # The sentence is upstream's since it checks a pod's right to an image that is there already.
            text = f'Container image "{container.image}" already present on machine'
            tell("Normal", "Pulled", f"{text} and can be accessed by the pod")
            return present
        if policy == "Never":
            message = f'Container image "{container.image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageFailure("ErrImageNeverPull", message)
        self._check_back_off(wanted, tell)
        return await self._pull(wanted, auths, tell)

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._failed_at if key.startswith(f"{pod_uid}_")]:
            del self._failed_at[key]
            self._causes.pop(key, None)
            self._back_off.forget(key)

    def retry_after(self, pod: Pod, container: Container) -> float:
        """Seconds until the next pull may be tried."""
        try:
            key = _Wanted(pod, container, with_default_tag(container.image)).back_off_key
        except ValueError:
            return self._back_off.delay("")
        return self._remaining(key)

    def _parse(self, container: Container, tell: Tell) -> str:
        try:
            return with_default_tag(container.image)
        except ValueError as error:
            message = f'Failed to apply default image tag "{container.image}": {error}'
            tell("Warning", "InspectFailed", message)
            raise ImageFailure("InvalidImageName", message) from error

    async def _look(self, container: Container, reference: str, tell: Tell) -> Image | None:
        try:
            return await self._runtime.image(reference)
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{container.image}": {error}'
            tell("Warning", "InspectFailed", message)
            raise ImageFailure("ImageInspectError", message) from error

    def _remaining(self, key: str) -> float:
        failed_at = self._failed_at.get(key)
        if failed_at is None:
            return 0
        return self._back_off.remaining(key, failed_at, self._clock.monotonic())

    def _check_back_off(self, wanted: _Wanted, tell: Tell) -> None:
        key = wanted.back_off_key
        if self._remaining(key) <= 0:
            return
        message = f'Back-off pulling image "{wanted.container.image}"'
        tell("Normal", "BackOff", message)
        raise ImageFailure("ImagePullBackOff", f"{message}: {self._causes.get(key, 'ErrImagePull')}")

    async def _pull(self, wanted: _Wanted, auths: Sequence[Auth], tell: Tell) -> Image:
        name, key = wanted.container.image, wanted.back_off_key
        asked = self._clock.monotonic()
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        async with self._one_at_a_time:
            begun = self._clock.monotonic()
            try:
                pulled = await self._pull_with_any(wanted.reference, auths)
                found = await self._runtime.image(pulled)
            except RuntimeFailure as error:
                self._note_failure(key, error)
                tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
                raise ImageFailure("ErrImagePull", str(error)) from error
        done = self._clock.monotonic()
        self._back_off.forget(key)
        self._failed_at.pop(key, None)
        if found is None:
            raise ImageFailure("ErrImagePull", f'image "{name}" is gone after it was pulled')
        times = f"{_duration(done - begun)} ({_duration(done - asked)} including waiting)"
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {times}. Image size: {found.size} bytes.',
        )
        return found

    async def _pull_with_any(self, reference: str, auths: Sequence[Auth]) -> str:
        """With each of the credentials until one works; without any if there are none."""
        failure: RuntimeFailure | None = None
        choices: Sequence[Auth | None] = auths or [None]
        for auth in choices:
            try:
                return await self._runtime.pull_image(reference, auth)
            except RuntimeFailure as error:
                failure = error
        assert failure is not None
        raise failure

    def _note_failure(self, key: str, error: RuntimeFailure) -> None:
        now = self._clock.monotonic()
        self._back_off.next(key, self._failed_at.get(key, now), now)
        self._failed_at[key] = now
        self._causes[key] = f"ErrImagePull: {error}"


def _duration(seconds: float) -> str:
    """As Go prints a duration, to the millisecond: `308ms`, `1.25s`, `1m3.5s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"

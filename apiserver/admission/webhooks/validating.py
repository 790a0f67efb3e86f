"""ValidatingAdmissionWebhook: webhooks that may refuse what is written, all at once.

They see the object as it would be stored. Every one of them is heard; the first refusal is the answer.
"""

from __future__ import annotations

import asyncio

from kplane.api.errors import ApiError

from ..chain import Attributes, Waiting, on
from ..matching import exempt
from .calls import VALIDATING, Caller, Surroundings
from .configuration import Candidate, Configuration, Webhook
from .review import Shown

FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingAdmissionWebhook:
    name = "ValidatingAdmissionWebhook"
    handles = on()

    def __init__(self, configuration: Configuration, surroundings: Surroundings) -> None:
        self._configuration = configuration
        self._caller = Caller(surroundings, VALIDATING)

    def validate(self, attributes: Attributes) -> Waiting:
        return None if self._configuration.idle or exempt(attributes) else self._validate(attributes)

    async def _validate(self, attributes: Attributes) -> None:
        candidates = await self._configuration.candidates(attributes)
        relevant = [
            found for candidate in candidates if (found := await self._relevant(candidate, attributes))
        ]
        if not relevant:
            return
        refusals: list[ApiError] = []
        async with asyncio.TaskGroup() as tasks:
            for index, (webhook, shown) in enumerate(relevant):
                tasks.create_task(self._hear(index, webhook, shown, attributes, refusals))
        if refusals:
            raise refusals[0]

    async def _relevant(self, candidate: Candidate, attributes: Attributes) -> tuple[Webhook, Shown] | None:
        if not await self._caller.concerns(candidate, attributes):
            return None
        shown = await self._caller.show(candidate, attributes)
        if not await self._caller.conditions_hold(candidate.webhook, attributes, shown):
            return None
        return candidate.webhook, shown

    async def _hear(
        self, index: int, webhook: Webhook, shown: Shown, attributes: Attributes, refusals: list[ApiError]
    ) -> None:
        """Ask one webhook; its refusal goes into `refusals`."""
        try:
            verdict = await self._caller.counted(
                webhook, attributes, lambda: self._caller.ask(webhook, attributes, shown)
            )
        except ApiError as refusal:
            refusals.append(refusal)
            return
        if verdict is None:
            attributes.annotate(f"{FAILED_OPEN}round_0_index_{index}", webhook.name)

"""`componentstatuses`: deprecated, read only, and made up on the spot. It tells of the store alone."""

from __future__ import annotations

from starlette.responses import Response

from kplane.api.clock import Clock
from kplane.api.errors import not_found
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo
from kplane.runtime.health import Check, Unhealthy

from .call import Call
from .output import render
from .transforms import Form


class ComponentStatuses:
    """Answers get and list."""

    def __init__(self, name: str, check: Check, clock: Clock) -> None:
        self._name = name
        self._check = check
        self._clock = clock

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        output = call.output()
        form = Form(row, output, call.query("includeObject"), self._clock)
        component = await self._component(row)
        if not call.info.name:
            body = form.listing([component], {})
        elif call.info.name == self._name:
            body = form.single(component)
        else:
            raise not_found(row.plural, row.group, call.info.name)
        return Response(render(call, body, output), media_type=output.media_type)

    async def _component(self, row: ResourceInfo) -> Object:
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
        try:
            await self._check()
        except Unhealthy as error:
            condition = {"type": "Healthy", "status": "False", "error": str(error)}
        return {
            "kind": row.kind,
            "apiVersion": row.api_version,
            "metadata": {"name": self._name, "creationTimestamp": None},
            "conditions": [condition],
        }

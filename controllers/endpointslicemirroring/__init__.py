"""EndpointSlice mirroring controller: Endpoints that people write, shown as EndpointSlices.

`controller` reads and writes, `mirror` decides what slices should hold, `metrics` counts.
"""

from .controller import EndpointSliceMirroringController
from .mirror import MANAGER

__all__ = ["MANAGER", "EndpointSliceMirroringController"]

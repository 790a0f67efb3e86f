"""EndpointSlice controller: the addresses behind each Service, in slices of at most 100.

`controller` reads and writes, `endpoints` turns Pods into endpoints, `packing` distributes them over slices.
"""

from .controller import EndpointSliceController

__all__ = ["EndpointSliceController"]

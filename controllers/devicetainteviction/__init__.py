"""Device taint eviction: Pods go that use a device with a NoExecute taint that their claim does not tolerate.

`plan.py` knows when a Pod must go and because of which rules, `status.py` what a DeviceTaintRule says of
that; `controller.py` acts.
"""

from .controller import DeviceTaintEvictionController

__all__ = ["DeviceTaintEvictionController"]

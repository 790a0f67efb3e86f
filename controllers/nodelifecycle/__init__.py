"""Node lifecycle: nodes that fall silent are marked, tainted, and their Pods moved elsewhere.

`health.py` knows how long each node has been silent, `zones.py` how many nodes of a zone may be given up how
fast, `taints.py` which taints a node should have; `controller.py` writes conditions and taints,
`tainteviction.py` deletes the Pods that do not tolerate them.
"""

from .controller import NodeLifecycleController
from .tainteviction import TaintEvictionController

__all__ = ["NodeLifecycleController", "TaintEvictionController"]

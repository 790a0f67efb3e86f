"""DaemonSet controller: one Pod on every node that is eligible.

`controller` takes the steps; `placement` tells which nodes are eligible and ties a Pod to its node, `plan`
decides what to create and delete, `rollout` what to replace, `backoff` when a failed Pod may come back,
`status` what is reported. Revisions of the template are in `../history.py`.
"""

from .controller import DaemonSetController

__all__ = ["DaemonSetController"]

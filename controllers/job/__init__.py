"""Job: Pods that run to completion.

`assessment.py` says how a Job stands, `plan.py` what to do next, `accounting.py` counts Pods that have ended,
`state.py` is the status in the making, `controller.py` acts. `policy.py`, `indexes.py`, `failures.py` and
`pods.py` hold the rules that these share.
"""

from .controller import JobController

__all__ = ["JobController"]

"""CronJob: Jobs by the clock.

`plan.py` decides what is due and what may go, `controller.py` acts.
"""

from .controller import CronJobController

__all__ = ["CronJobController"]

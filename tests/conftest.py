"""What every test may use, and how hypothesis runs: the same examples each time, however slow the machine.

`pytest --hypothesis-profile=default` looks for new ones.
"""

from hypothesis import HealthCheck, settings

pytest_plugins = ["kplane.testing.plugin"]

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

"""What every test may use."""

pytest_plugins = ["kplane.testing.plugin"]

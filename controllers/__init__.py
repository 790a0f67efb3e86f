"""The controller manager: one module per controller, each bringing the cluster towards its specs."""

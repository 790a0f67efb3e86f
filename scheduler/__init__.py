"""The scheduler: chooses a node for every pending Pod."""

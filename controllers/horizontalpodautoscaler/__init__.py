"""Horizontal Pod autoscaler: as many replicas as metrics ask for, within bounds and not too fast.

`usage.py` (replicas from samples) and `behavior.py` (bounds, rates, stabilisation) decide;
`metrics.py` reads the metrics APIs, `proposals.py` asks it for one metric of a spec, `controller.py` puts all
together.
"""

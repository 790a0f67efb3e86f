"""Node IPAM: a range of Pod addresses for every node.

`ranges.py` gives out ranges, `controller.py` writes them into Nodes.
"""

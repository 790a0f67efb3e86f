"""Garbage collector: delete what has lost its owners.

`graph` knows who owns whom, `decision` what that means for one object, `monitors` keeps the graph current for
every resource that the server serves, `controller` acts.
"""

from .controller import GarbageCollector

__all__ = ["GarbageCollector"]

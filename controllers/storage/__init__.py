"""Controllers of storage: claims bound to volumes, both kept while they are used, grown, attached to nodes.

`binding.py` and `matching.py` decide for `binder.py`; the other modules are a controller each.
"""

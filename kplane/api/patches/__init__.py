"""Patches: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch.

Arguments stay as they are. A result may share unchanged parts with the object, never with the patch, which
may have to be applied again. Server-side apply lives elsewhere; it needs managed fields.
"""

from kplane.api.patches.merging import merge
from kplane.api.patches.operations import json_patch
from kplane.api.patches.strategic_merge import strategic

__all__ = ["json_patch", "merge", "strategic"]

"""OpenAPI v2 and v3: the API described for kubectl, code generators and other clients.

Both are derived from the scheme (paths and operations) and from the schema data (definitions). Documents are
made on first use and kept as bytes until the scheme changes.
"""

from __future__ import annotations

from .documents import OpenApi
from .protobuf import CONTENT_TYPE, MEDIA_TYPE

__all__ = ["CONTENT_TYPE", "MEDIA_TYPE", "OpenApi"]

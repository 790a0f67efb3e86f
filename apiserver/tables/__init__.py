"""Tables: how objects are shown in columns, for `kubectl get` and others that ask for `as=Table`.

`printers.py` is the table of all printers; each module beside it holds those of some groups. Columns (name,
type, format, priority, description) and cells are upstream's (`pkg/printers/internalversion`).
"""

from __future__ import annotations

from .custom import custom_printer
from .table import table

__all__ = ["custom_printer", "table"]

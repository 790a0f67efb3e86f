"""`python -m kplane.proxy`."""

import sys

from .main import main

sys.exit(main())

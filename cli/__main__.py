"""`python -m kplane.cli`."""

import sys

from .main import main

sys.exit(main())

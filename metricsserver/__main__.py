"""`python -m kplane.metricsserver`."""

import sys

from .main import main

sys.exit(main())

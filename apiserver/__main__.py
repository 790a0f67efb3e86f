"""`python -m kplane.apiserver`."""

import sys

from .main import main

sys.exit(main())

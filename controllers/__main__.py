"""`python -m kplane.controllers`."""

import sys

from .main import main

sys.exit(main())

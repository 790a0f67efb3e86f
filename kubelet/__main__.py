"""`python -m kplane.kubelet`."""

import sys

from .main import main

sys.exit(main())

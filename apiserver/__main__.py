"""`python -m kplane.apiserver`."""

import sys

from kplane.runtime import garbage

# Before the imports: a tenth of what they take was spent on looking for garbage, of which there is none.
garbage.postpone()

from .main import main  # noqa: E402

sys.exit(main())

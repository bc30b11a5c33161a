"""``python -m gseg``."""

import sys

from gseg.cli import main

sys.exit(main())

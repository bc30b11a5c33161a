"""``python -m gseg``."""

import sys

from gseg.cli import main

if __name__ == "__main__":
    sys.exit(main())

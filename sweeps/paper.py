"""Any table or figure of both papers, by name; --list prints them with time and subject."""

import sys

from gseg.commands.app import run
from gseg.commands.run import recipes_app

if __name__ == "__main__":
    sys.exit(run(recipes_app("paper.py")))

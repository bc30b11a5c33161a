"""Search over settings: a grid, at random, or with Optuna, without labels."""

import sys

from gseg.commands.app import run
from gseg.commands.search import app

if __name__ == "__main__":
    sys.exit(run(app))

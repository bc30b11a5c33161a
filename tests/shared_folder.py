"""Where reference material lies that is too large for the repository."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("GSEG_SHARED") or Path(__file__).parents[2] / "shared")
"""Holds ``conformance``, ``data`` and ``papers``; tests skip what is not there."""

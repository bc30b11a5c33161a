"""Compares the rows of two sweeps: the same keys, each once, and the same scores.

python examples/hosts/compare.py RESULTS RESULTS
"""

import sys

import pandas as pd

from gseg.pipeline.rows import KEY

SCORES = ["accuracy", "iou", "f_beta", "max_f_beta", "candidates", "images"]


def main(first: str, second: str) -> int:
    """Say what differs; 0 if nothing does."""
    one, other = (
        pd.read_parquet(folder).set_index(list(KEY)).sort_index()[SCORES]
        for folder in (first, second)
    )
    if not one.index.is_unique or not one.index.equals(other.index):
        sys.stdout.write(f"the keys differ: {len(one)} and {len(other)} rows\n")
        return 1
    difference = (one - other).abs().max().max()
    said = f"{len(one)} rows in both, each once; largest difference of a score: {difference:g}\n"
    sys.stdout.write(said)
    return int(difference != 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

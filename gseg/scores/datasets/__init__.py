"""Published benchmarks: where their files lie, which pictures count, what their masks mean."""

from gseg.scores.datasets.catalogue import DATA_SETS
from gseg.scores.datasets.layouts import DataSet, NotHereError, Place, find_place
from gseg.scores.datasets.reader import DataSetBenchmark
from gseg.scores.datasets.verify import Verification, verify

__all__ = [
    "DATA_SETS",
    "DataSet",
    "DataSetBenchmark",
    "NotHereError",
    "Place",
    "Verification",
    "find_place",
    "verify",
]

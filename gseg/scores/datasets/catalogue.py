"""All published benchmarks by name."""

from typing import Final

from gseg.scores.datasets.celeba import CELEBAMASK_HQ
from gseg.scores.datasets.cub import CUB
from gseg.scores.datasets.flowers import FLOWERS
from gseg.scores.datasets.layouts import DataSet
from gseg.scores.datasets.saliency import DUT_OMRON, DUTS, ECSSD
from gseg.scores.datasets.voc import VOC2012

DATA_SETS: Final[dict[str, DataSet]] = {
    dataset.name: dataset
    for dataset in (CUB, FLOWERS, DUT_OMRON, DUTS, ECSSD, VOC2012, CELEBAMASK_HQ)
}
"""In the order of the papers' tables."""

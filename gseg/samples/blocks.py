"""What is known of a block of candidates while it is drawn, and the samples that come of it."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.samples.config import WITHOUT_ORIGINAL, SampleConfig
from gseg.samples.histograms import HistogramRule
from gseg.samples.sets import SampleSet
from gseg.samples.verdicts import HISTOGRAM, Verdicts, count_reasons
from gseg.transfers import send

Places = NDArray[np.int64]
CountsKey = tuple[int, HistogramRule, int]


@dataclass(frozen=True, slots=True)
class Request:
    """One sample set that is drawn.

    Attributes:
        config: How to draw.
        shifts: Number of the shift by name of the direction.
        maps: The direction's colour maps, for masks of kind ``affine``.
    """

    config: SampleConfig
    shifts: Mapping[str, int]
    maps: ColourMaps | None = None

    @property
    def needs_original(self) -> bool:
        """Whether masks are made from G(z)."""
        return self.config.mask_kind not in WITHOUT_ORIGINAL or self.tests_singles

    @property
    def looks_at_block(self) -> bool:
        """Whether a mask depends on all candidates of its block."""
        return self.config.mask_rule == "luminance_std"

    @property
    def tests_singles(self) -> bool:
        """Whether the masks of the single directions are tested."""
        return self.config.mask_kind == "both" and self.config.filters.each_direction

    def counts_keys(self) -> list[CountsKey]:
        """Say which histograms are counted: of which shift, by which rule, in how many bins."""
        filters = self.config.filters
        if filters.histogram is None:
            return []
        return [(k, filters.histogram, filters.histogram_bins) for k in self.shifts.values()]


@dataclass(slots=True, eq=False)
class Part:
    """What one request makes of one block; places are positions in the block, ascending."""

    request: Request
    passed: NDArray[np.bool_]
    maxima: NDArray[np.int64] | None
    compared: Places
    judged: Future[Verdicts] | None = None
    changes: Callable[[], Tensor] | None = None
    shown: Places | None = None
    pictures: Callable[[], Tensor] | None = None

    @property
    def left(self) -> Places:
        """What the histogram leaves."""
        return np.flatnonzero(self.passed)

    def accepted(self) -> Places:
        """What all filters leave."""
        assert self.judged is not None
        return self.left[self.judged.result().accepted]


@dataclass(slots=True, eq=False)
class Block:
    """A block of candidates and what the requests make of it; own labels are the CPU's."""

    indices: Tensor
    code: Tensor
    labels: Tensor | None
    own_labels: Tensor | None
    moved: list[Tensor]
    counts: Mapping[CountsKey, Callable[[], Tensor]]
    parts: list[Part] = field(default_factory=list)
    wanted: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def collect(block: Block, part: Part) -> SampleSet:
    """Put the accepted samples of a block together, once all copies have arrived."""
    assert part.judged is not None
    assert part.changes is not None
    assert part.pictures is not None
    assert part.shown is not None
    verdicts, places = part.judged.result(), part.accepted()
    among_left = np.flatnonzero(verdicts.accepted)
    reasons = np.full(len(block.indices), HISTOGRAM)
    reasons[part.left] = verdicts.reasons
    statistics: dict[str, Tensor] = {}
    if part.maxima is not None:
        statistics["histogram_maxima"] = torch.from_numpy(part.maxima[places])
    for name, values in verdicts.statistics.items():
        statistics[name] = torch.from_numpy(values[among_left])
    statistics["brightness_change"] = rows_at(part.changes(), among_left)
    return SampleSet(
        indices=rows_at(block.indices, places),
        labels=None if block.own_labels is None else rows_at(block.own_labels, places),
        pictures=rows_at(part.pictures(), find_places(places, part.shown)),
        masks=torch.from_numpy(verdicts.masks[among_left]),
        statistics=statistics,
        counts=count_reasons(reasons),
    )


def rows_at(values: Tensor, places: Places) -> Tensor:
    """Select rows, without a copy where that is all of them."""
    if len(places) == len(values):
        return values
    return values[send(torch.from_numpy(places), values.device)]


def find_places(places: Places, among: Places) -> Places:
    """Say where places stand in an ascending list that holds them all."""
    return np.searchsorted(among, places)

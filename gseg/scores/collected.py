"""Gather the scores of pictures into one table, one set of sums and one set of curves."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gseg.metrics.counts import PixelHistogram
from gseg.metrics.profiles import ProfileName, metric_profile
from gseg.metrics.sums import MetricSums
from gseg.scores.batches import Prepared

SCORES: Final = ("accuracy", "iou", "f_beta", "max_f_beta", "mae")
COLUMNS: Final = ("id", "profile", *SCORES, "degenerate", "foreground")
"""Columns of the table of pictures; `max_f_beta` there is each picture's own maximum, `foreground`
the share of the scored pixels that are truly foreground."""


class Collected:
    """Scores of pictures, in whatever order their groups come.

    Args:
        profiles: Metric profiles to report.
    """

    def __init__(self, profiles: Sequence[ProfileName]) -> None:
        self.sums = tuple(MetricSums(profile=metric_profile(name)) for name in profiles)
        self._rows: list[tuple[object, ...]] = []
        self._order: list[int] = []
        self._curves = {
            part.profile.name: [np.zeros((0, len(part.profile.thresholds)), np.float32)]
            for part in self.sums
        }

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self._order)

    def add(self, group: list[Prepared], histogram: PixelHistogram) -> None:
        """Score a group in every profile.

        Args:
            group: Pictures.
            histogram: Their pixels.
        """
        self._order += [waiting.index for waiting in group]
        foreground = (histogram.counts[:, 1].sum(1) / histogram.counts.sum((1, 2))).tolist()
        for rank, part in enumerate(self.sums):
            scores = part.update(histogram)
            self._curves[part.profile.name].append(scores.curve.astype(np.float32))
            columns = [getattr(scores, name).tolist() for name in (*SCORES, "degenerate")]
            keys = ((rank, waiting.index, waiting.id, part.profile.name) for waiting in group)
            self._rows += [
                (*key, *values) for key, *values in zip(keys, *columns, foreground, strict=True)
            ]

    def table(self) -> pd.DataFrame:
        """Give `COLUMNS`, profile after profile in the benchmark's order."""
        rows = sorted(self._rows, key=lambda row: row[:2])
        return pd.DataFrame([row[2:] for row in rows], columns=list(COLUMNS))

    def curves(self) -> dict[ProfileName, NDArray[np.float32]]:
        """Give the curves in the benchmark's order."""
        order = np.argsort(self._order)
        return {name: np.concatenate(parts)[order] for name, parts in self._curves.items()}

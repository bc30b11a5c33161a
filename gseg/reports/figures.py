"""How distance relates to the scores."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gseg.storage.store import replacing


def distance_figure(path: Path, rows: pd.DataFrame, *, title: str) -> None:
    """Draw accuracy and IoU against the Fréchet distance, after Figure 4 of Melas 2022.

    The axis of the distance is reversed: better generators stand at the right. Above each panel
    stands the rank correlation over the trials with the most samples.

    Args:
        path: PNG file.
        rows: Result rows of one benchmark, metric profile and distance protocol, with a distance.
        title: Above the figure.

    Raises:
        ValueError: The rows mix distance protocols.
    """
    if rows.fid_protocol.nunique() > 1:
        raise ValueError("One figure shows one distance protocol; the rows have several.")
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        figure.suptitle(title)
        for axes, score in zip(figure.subplots(1, 2), ("accuracy", "iou"), strict=True):
            for size in sorted(set(rows.data_size.astype(int))):
                group = rows[rows.data_size == size]
                axes.scatter(group.fid, group[score], label=f"{size:,} samples", s=30)
            axes.invert_xaxis()
            axes.set_xlabel(f"Fréchet distance ({rows.fid_protocol.iloc[0]})")
            axes.set_ylabel({"accuracy": "accuracy", "iou": "IoU"}[score])
            largest = rows[rows.data_size == rows.data_size.max()]
            _name_generators(axes, largest.groupby("generator")[["fid", score]].mean())
            axes.set_title(_rank_correlation(largest.fid, largest[score]), fontsize=9)
        axes.legend(frameon=False, fontsize=8)
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=150)


def _name_generators(axes: Axes, points: pd.DataFrame) -> None:
    """Write names beside points (distance, score), higher where one would cover another."""
    width, height = (max(float(np.ptp(points[name])), 1e-9) for name in points)
    taken: list[tuple[float, float]] = []
    for name, x, y in sorted(points.itertuples(name=None), key=lambda point: point[2]):
        place = y
        while any(abs(x - u) < 0.3 * width and abs(place - v) < 0.03 * height for u, v in taken):
            place += 0.01 * height
        taken.append((x, place))
        shown = str(name).replace(".scenes32", "")
        axes.text(x - 0.015 * width, place + 0.008 * height, shown, fontsize=7)


def _rank_correlation(distances: "pd.Series[float]", scores: "pd.Series[float]") -> str:
    if distances.nunique() < 3:
        return "rank correlation needs three generators"
    if scores.nunique() < 2:
        return "no rank correlation: all scores are equal"
    spearman = (-distances).rank().corr(scores.rank())
    return f"Spearman ρ = {spearman:.2f} (closer is better: 1)"

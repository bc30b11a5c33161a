"""Scores against hyper-parameters of the training (Voynov et al. 2021, Figure 5)."""

from pathlib import Path
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gseg.reports.settings import main_profile
from gseg.storage.files import replacing

VARIED: Final = {
    "train_batch": "batch",
    "train_learning_rate": "learning rate",
    "train_steps": "steps",
}
"""Columns of result rows, and what people read."""
_SYNTHETIC: Final = "held-out synthetic"
_DPI: Final = 110


def hyperparameter_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average scores over the runs of each training.

    The training that most others differ from in one setting only is taken for the chosen one.

    Args:
        rows: Result rows of `gseg.recipes.voynov2021.voynov_figure_5`.

    Returns:
        A line for each varied setting, value and set of pictures: ``setting``, ``value``, ``on``
        (a benchmark, or held-out synthetic pairs), ``iou``, ``iou_sd`` over runs, ``runs``, and
        ``best``: whether no value of this setting scores higher there.
    """
    trained = rows[(rows["method"] == "gan") & (rows["metric_profile"] == main_profile(rows))]
    usual = trained[list(VARIED)].mode().iloc[0]
    found = []
    for setting in VARIED:
        others = [name for name in VARIED if name != setting]
        alike = trained[(trained[others] == usual[others]).all(axis=1)]
        synthetic = alike.drop_duplicates("experiment").assign(
            benchmark=_SYNTHETIC, iou=lambda each: each["validation_iou"]
        )
        both = pd.concat([alike, synthetic])
        groups = both.groupby(["benchmark", setting], sort=True)["iou"]
        lines = groups.agg(iou="mean", iou_sd="std", runs="size").reset_index()
        lines = lines.rename(columns={"benchmark": "on", setting: "value"})
        lines["best"] = lines["iou"] == lines.groupby("on")["iou"].transform("max")
        found.append(lines.assign(setting=setting))
    columns = ["setting", "value", "on", "iou", "iou_sd", "runs", "best"]
    return pd.concat(found, ignore_index=True)[columns]


def hyperparameter_figure(path: Path, rows: pd.DataFrame) -> None:
    """Draw the scores on held-out synthetic pairs and on benchmarks against each setting.

    Args:
        path: PNG file.
        rows: See `hyperparameter_lines`.
    """
    lines = hyperparameter_lines(rows)
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    axes = figure.subplots(1, len(VARIED), sharey=True)
    for axis, (setting, name) in zip(axes, VARIED.items(), strict=True):
        _draw(axis, lines[lines["setting"] == setting])
        axis.set_xlabel(name)
    axes[0].set_ylabel("IoU")
    axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle("the best value on each set is filled", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=_DPI)


def _draw(axis: Axes, lines: pd.DataFrame) -> None:
    for number, (name, part) in enumerate(lines.groupby("on", sort=True)):
        colour = f"C{number}"
        style = "--" if name == _SYNTHETIC else "-"
        spread = part["iou_sd"].fillna(0.0)
        axis.errorbar(
            part["value"], part["iou"], yerr=spread, color=colour, linestyle=style, label=str(name)
        )
        for filled, marked in part.groupby("best"):
            face = colour if filled else "white"
            axis.scatter(marked["value"], marked["iou"], facecolor=face, edgecolor=colour, zorder=3)
    axis.set_xscale("log")
    axis.set_xticks(
        sorted(lines["value"].unique()), [f"{v:g}" for v in sorted(lines["value"].unique())]
    )
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)

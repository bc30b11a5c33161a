"""What λ, ε and the number of samples do: heat maps and curves."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from gseg.reports.charts import Curve, curve_chart
from gseg.reports.content import Chart, Part, ReportTable
from gseg.reports.heat import heat_chart, heat_map
from gseg.reports.settings import (
    DIGITS,
    HEADINGS,
    SCORING,
    SETTINGS,
    main_profile,
    over_seeds,
    present,
    same_in,
    setting_text,
    short_names,
    varying,
)

_SCORE: Final = "iou"
_MOST_CURVES: Final = 16
_AXES: Final = ("contrast_weight", "epsilon_sample")
_TOLD: Final = (
    "objective",
    "contrast_weight",
    "epsilon_sample",
    "mask_kind",
    "data_size",
    "train_preset",
)
_FOLLOWERS: Final = {"data_size": ("selected_from",), "epsilon_sample": ("epsilon_search",)}
"""Settings that are varied with another one."""

Key = tuple[str, str, str]
"""Benchmark, evaluation protocol, generator."""


def heat_parts(rows: pd.DataFrame) -> list[Part]:
    """Show how λ and ε together decide a generator's IoU.

    Args:
        rows: Result rows.

    Returns:
        A heat map for each generator and benchmark (the first one at sight, others where they are
        unfolded) that has at least two values of both, at the
        other settings that have most combinations and, of these, most samples; and their numbers
        as one table.
    """
    names = short_names(rows["generator"].dropna())
    charts: list[Part] = []
    frames = []
    shown = ""
    for (benchmark, protocol, generator), group in _generators(rows, ("gan",)):
        if min(group[name].nunique() for name in _AXES) < 2:
            continue
        alike = _most_combinations(group, (*_AXES, "epsilon_search"))
        values = heat_map(alike, down=_AXES[0], across=_AXES[1], score=_SCORE)
        if min(values.shape) < 2:
            continue
        where = f"{names[generator]} on {benchmark} ({protocol})"
        svg = heat_chart(values, title=f"IoU of {where}", x_label="ε", y_label="λ")
        caption = f"Mean over seeds. {_constant(alike)}"
        shown = shown or benchmark
        fold = "" if benchmark == shown else f"On {benchmark}"
        charts.append(Chart(svg=svg, caption=caption, fold=fold))
        frames.append(alike)
    if not charts:
        return []
    columns = ["generator", *SCORING, *_AXES, _SCORE, f"{_SCORE}_sd", "seeds"]
    table = ReportTable(
        name="heat_maps",
        title="Numbers of the heat maps",
        frame=pd.concat(frames, ignore_index=True)[columns],
        headings=HEADINGS,
        digits=DIGITS,
        folded=True,
    )
    return [*charts, table]


def size_parts(rows: pd.DataFrame) -> list[Part]:
    """Show how scores grow with the number of samples (Melas 2022, Table 14 and Figure 11).

    Args:
        rows: Result rows.

    Returns:
        For each benchmark and score a chart with a logarithmic axis and a curve for each generator
        that has several sizes, the sixteen best ones; and the numbers of all as one table.
    """
    return _curve_parts(rows, "data_size", ("gan", "true_masks"))


def axis_parts(rows: pd.DataFrame) -> list[Part]:
    """Show what λ alone or ε alone decides (Melas 2022, Tables 7 and 8).

    Args:
        rows: Result rows.

    Returns:
        As `size_parts`, for each of the two that a generator has several values of.
    """
    return [part for column in _AXES for part in _curve_parts(rows, column, ("gan",))]


def _curve_parts(rows: pd.DataFrame, column: str, methods: tuple[str, ...]) -> list[Part]:
    free = (column, *_FOLLOWERS.get(column, ()))
    curves: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for (benchmark, protocol, _), group in _generators(rows, methods):
        alike = _most_combinations(group, free).dropna(subset=[column]).sort_values(column)
        if alike[column].nunique() > 1:
            curves.setdefault((benchmark, protocol), []).append(alike)
    if not curves:
        return []
    numbers = pd.concat([means for found in curves.values() for means in found], ignore_index=True)
    differing = varying(numbers[numbers["method"] == "gan"])
    differing = [name for name in differing if name not in (*free, "supervision")]
    columns = ["method", "generator", *SCORING, *differing, column, "seeds"]
    columns += ["accuracy", "accuracy_sd", "iou", "iou_sd"]
    table = ReportTable(
        name=column,
        title="Numbers of the curves",
        frame=numbers[columns],
        headings=HEADINGS,
        digits=DIGITS,
        folded=True,
    )
    return [*_curve_charts(curves, column, differing), table]


def _curve_charts(
    curves: Mapping[tuple[str, str], list[pd.DataFrame]], column: str, differing: list[str]
) -> Iterator[Chart]:
    """Draw accuracy and IoU on each benchmark, a curve for each of the best generators."""
    every = [means["generator"].iloc[0] for found in curves.values() for means in found]
    names = short_names(name for name in every if pd.notna(name))
    told = [name for name in _TOLD if name not in (column, *differing)]
    for (benchmark, protocol), found in curves.items():
        best = sorted(found, key=lambda means: -float(means[_SCORE].iloc[-1]))[:_MOST_CURVES]
        for score, name in (("accuracy", "accuracy"), (_SCORE, "IoU")):
            svg = curve_chart(
                [_curve(means, column, score, names) for means in best],
                title=f"{name} on {benchmark} ({protocol})",
                x_label=HEADINGS[column],
                y_label=name,
            )
            yield Chart(svg=svg, caption=_curves_caption(best, told, differing))


def _curves_caption(curves: list[pd.DataFrame], told: list[str], differing: list[str]) -> str:
    """Say which settings the curves have; those in which they differ stand in the table."""
    caption = "Means and standard deviations over seeds."
    gan = [means for means in curves if means["method"].iloc[0] == "gan"]
    if gan:
        caption += f" {setting_text(gan[0].iloc[0], present(gan[0], told)).capitalize()}."
    if differing:
        names = ", ".join(HEADINGS.get(name, name.replace("_", " ")) for name in differing)
        caption += f" The curves differ in {names}; see the numbers."
    return caption


def _generators(rows: pd.DataFrame, methods: tuple[str, ...]) -> Iterator[tuple[Key, pd.DataFrame]]:
    """Go through each benchmark's generators (and the network with true masks): seeds' means."""
    chosen = rows[(rows["metric_profile"] == main_profile(rows)) & rows["method"].isin(methods)]
    lines = over_seeds(chosen, ("accuracy", _SCORE))
    names = lines["generator"].where(lines["method"] == "gan", "true masks")
    for key, group in lines.groupby(["benchmark", "eval_protocol", names.rename("of")], sort=True):
        benchmark, protocol, generator = map(str, key)
        yield (benchmark, protocol, generator), group


def _most_combinations(lines: pd.DataFrame, free: tuple[str, ...]) -> pd.DataFrame:
    """Keep the setting that has most combinations of the free columns, then most samples.

    Of several the first in order of the axes, so that generators of one grid are shown alike.
    """
    lines = lines.sort_values([name for name in (*_AXES, "data_size") if name in lines])
    names = [name for name in present(lines, SETTINGS) if name not in free]
    groups = [group for _, group in lines.groupby(same_in(lines, names), sort=False)]
    sizes = [group["data_size"].astype("Float64").max() for group in groups]
    ranks = [
        (len(group), 0.0 if pd.isna(size) else float(size))
        for group, size in zip(groups, sizes, strict=True)
    ]
    return groups[ranks.index(max(ranks))]


def _constant(rows: pd.DataFrame) -> str:
    names = ("objective", "mask_kind", "data_size", "train_preset")
    return setting_text(rows.iloc[0], present(rows, names)).capitalize() + "."


def _curve(means: pd.DataFrame, column: str, score: str, names: Mapping[str, str]) -> Curve:
    first = means.iloc[0]
    name = names[first["generator"]] if first["method"] == "gan" else "true masks"
    spread = means[f"{score}_sd"].astype("Float64").fillna(0.0)
    return Curve(
        name=name,
        x=means[column].to_numpy(dtype=np.float64).tolist(),
        y=means[score].to_numpy(dtype=np.float64).tolist(),
        spread=spread.to_numpy(dtype=np.float64).tolist(),
    )

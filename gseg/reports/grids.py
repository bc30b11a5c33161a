"""What λ, ε and the number of samples do: heat maps and curves."""

from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from gseg.reports import settings
from gseg.reports.charts import Point, curve_chart, heat_chart
from gseg.reports.content import Chart, Part, ReportTable
from gseg.reports.settings import HEADINGS, SCORING, SETTINGS, named, present, varying

_SCORES: Final = {"accuracy": "accuracy", "iou": "IoU"}
_MOST_CURVES: Final = 16
_AXES: Final = named("λ", "ε")
_TOLD: Final = ("objective", *_AXES, "mask_kind", "data_size", "train_preset")
# Settings that are varied with another one.
_FOLLOWERS: Final = {"data_size": ("selected_from",), "epsilon_sample": ("epsilon_search",)}


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
    names = settings.short_names(rows["generator"].dropna())
    charts: list[Part] = []
    frames: list[pd.DataFrame] = []
    for group in _generators(rows, ("gan",)):
        alike = _most_combinations(group, (*_AXES, "epsilon_search"))
        # Never of all rows: cells at other settings would stand beside each other.
        values = alike.astype({"iou": float}).pivot_table("iou", _AXES[0], _AXES[1])
        if min(values.shape) < 2:
            continue
        frames.append(alike)
        benchmark, protocol, generator = _about(alike)
        title = f"IoU of {names[generator]} on {benchmark} ({protocol})"
        svg = heat_chart(values, title=title, x_label="ε", y_label="λ")
        caption = f"Mean over seeds. {_settings_of(alike, set(_TOLD) - set(_AXES))}"
        fold = "" if benchmark == _about(frames[0])[0] else f"On {benchmark}"
        charts.append(Chart(svg=svg, caption=caption, fold=fold))
    columns = ["generator", *SCORING, *_AXES, "iou", "iou_sd", "seeds"]
    return [*charts, *_numbers("heat_maps", "heat maps", frames, columns)]


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


def _curve_parts(rows: pd.DataFrame, column: str, methods: Sequence[str]) -> list[Part]:
    free = (column, *_FOLLOWERS.get(column, ()))
    curves: dict[tuple[str, ...], list[pd.DataFrame]] = {}
    for group in _generators(rows, methods):
        alike = _most_combinations(group, free).dropna(subset=[column]).sort_values(column)
        if alike[column].nunique() > 1:
            curves.setdefault(_about(alike)[:2], []).append(alike)
    if not curves:
        return []
    frames = [means for found in curves.values() for means in found]
    every = pd.concat(frames, ignore_index=True)
    names = settings.short_names(every["of"])
    differing = varying(every[every["method"] == "gan"])
    differing = [name for name in differing if name not in (*free, "supervision")]
    charts: list[Part] = []
    for (benchmark, protocol), found in curves.items():
        # By the last point: curves of few samples lie close together.
        best = sorted(found, key=lambda means: -float(means["iou"].iloc[-1]))[:_MOST_CURVES]
        caption = "Means and standard deviations over seeds."
        gan = [means for means in best if means["method"].iloc[0] == "gan"]
        if gan:
            caption += f" {_settings_of(gan[0], {*_TOLD} - {column, *differing})}"
        if differing:
            headings = ", ".join(HEADINGS.get(name, name.replace("_", " ")) for name in differing)
            caption += f" The curves differ in {headings}; see the numbers."
        for score, score_name in _SCORES.items():
            svg = curve_chart(
                {names[_about(means)[2]]: _points(means, column, score) for means in best},
                title=f"{score_name} on {benchmark} ({protocol})",
                x_label=HEADINGS[column],
                y_label=score_name,
            )
            charts.append(Chart(svg=svg, caption=caption))
    columns = ["method", "generator", *SCORING, *differing, column, "seeds"]
    columns += ["accuracy", "accuracy_sd", "iou", "iou_sd"]
    return [*charts, *_numbers(column, "curves", frames, columns)]


def _generators(rows: pd.DataFrame, methods: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Go through each benchmark's generators (and the network with true masks): seeds' means."""
    chosen = rows[
        (rows["metric_profile"] == settings.main_profile(rows)) & rows["method"].isin(methods)
    ]
    lines = settings.over_seeds(chosen, tuple(_SCORES))
    lines["of"] = lines["generator"].where(lines["method"] == "gan", "true masks")
    for _, group in lines.groupby(["benchmark", "eval_protocol", "of"], sort=True):
        yield group


def _about(lines: pd.DataFrame) -> tuple[str, ...]:
    """Give the benchmark, the evaluation protocol and the generator that all lines have."""
    return tuple(map(str, lines[["benchmark", "eval_protocol", "of"]].iloc[0]))


def _most_combinations(lines: pd.DataFrame, free: Sequence[str]) -> pd.DataFrame:
    """Keep the setting that has most combinations of the free columns, then most samples.

    Of several the first in order of the axes, so that generators of one grid are shown alike.
    """
    lines = lines.sort_values(present(lines, (*_AXES, "data_size")))
    names = [name for name in present(lines, SETTINGS) if name not in free]
    groups = [group for _, group in lines.groupby(settings.same_in(lines, names), sort=False)]
    return max(groups, key=lambda each: (len(each), each["data_size"].fillna(0).max()))


def _settings_of(lines: pd.DataFrame, names: set[str]) -> str:
    told = [name for name in present(lines, _TOLD) if name in names]
    return settings.setting_text(lines.iloc[0], told).capitalize() + "."


def _points(means: pd.DataFrame, column: str, score: str) -> list[Point]:
    # One seed has no deviation, and 0 draws none.
    values = means[[column, score, f"{score}_sd"]].astype("Float64").fillna(0.0)
    return [Point(x=x, y=y, spread=sd) for x, y, sd in values.itertuples(index=False)]


def _numbers(
    name: str, what: str, frames: Sequence[pd.DataFrame], columns: Sequence[str]
) -> Iterator[ReportTable]:
    """Give the numbers behind charts as one table, if there are any."""
    if frames:
        frame, title = pd.concat(frames, ignore_index=True)[[*columns]], f"Numbers of the {what}"
        yield ReportTable(name=name, title=title, frame=frame, folded=True)

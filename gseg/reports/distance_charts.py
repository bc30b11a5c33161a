"""Charts of the Fréchet distance against segmentation, and Figure 4 of Melas 2022.

Each chart is of one distance protocol; the one exception is Figure 4 as it is printed, which says
so.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gseg.generators.catalogue import list_generators
from gseg.recipes.published.cells import published_tables
from gseg.reports.charts import scatter_chart
from gseg.reports.content import Chart, Part
from gseg.reports.distances import (
    SCORE_NAMES,
    Key,
    correlation_table,
    distance_points,
    main_setting,
    protocol_groups,
)
from gseg.reports.drawing import Point
from gseg.reports.settings import main_profile, short_names
from gseg.reports.statistics import correlate, fit_band

_FEWEST: Final = 2
"""Generators of a chart."""
_FEWEST_OF_ALL: Final = 3
"""Generators of results that say anything about distances."""


def distance_parts(rows: pd.DataFrame) -> list[Part]:
    """Draw and tabulate how the distance of generators goes with their scores.

    Args:
        rows: Result rows.

    Returns:
        Charts of the setting with the most generators and, of these, the most samples, for each
        protocol and benchmark; of the same by training set, and over snapshots of one generator;
        a table of correlations over all settings; Figure 4 as printed. Nothing where there are
        fewer than three generators.
    """
    if rows.loc[rows["method"] == "gan", "generator"].nunique() < _FEWEST_OF_ALL:
        return []
    points = distance_points(rows[rows["metric_profile"] == main_profile(rows)])
    charts: list[Part] = []
    for key, group in protocol_groups(points):
        chosen = main_setting(group)
        apart = chosen[chosen["generator"] == chosen["base"]]
        fold = "" if key.overall else f"Each benchmark; distance: {key.protocol}"
        charts += _charts(apart, key, fold)
        datasets = apart.groupby("dataset")
        if len(datasets) > 1:
            for _, part in datasets:
                charts += _charts(part, key, fold)
        for base, part in chosen.groupby("base"):
            if len(part) > 1:
                charts += _charts(part, key, fold, what=f"Snapshots of {base}")
    charts.sort(key=lambda part: bool(part.fold) if isinstance(part, Chart) else False)
    table = correlation_table(points)
    return [*charts, *([] if table is None else [table]), printed_figure()]


def printed_figure() -> Chart:
    """Draw Figure 4 of Melas-Kyriazi et al. 2022 from the paper's Table 2 and published distances.

    Returns:
        One chart: mean accuracy over five benchmarks against the published FID of nine generators.
        It mixes two protocols, as the figure in the paper does, and says so.
    """
    cells = published_tables().query("paper == 'melas2022' and table == '2'")
    means = cells[cells["metric"] == "accuracy"].groupby("generator")["value"].mean()
    cards = [
        card
        for card in list_generators("published")
        if card.published_fid is not None and "StudioGAN" in card.fid_protocol
    ]
    cards = [card for card in cards if card.name in means.index]
    protocols = list(dict.fromkeys(card.fid_protocol for card in cards))
    points = [
        Point(
            x=card.published_fid or 0.0,
            y=float(means[card.name]),
            label=card.family,
            group=protocols.index(card.fid_protocol),
        )
        for card in cards
    ]
    x, y = np.array([point.x for point in points]), np.array([point.y for point in points])
    mixed = correlate(-x, y)
    assert mixed is not None
    apart = []
    for number, protocol in enumerate(protocols):
        chosen = [point for point in points if point.group == number]
        one = correlate(
            -np.array([point.x for point in chosen]), np.array([point.y for point in chosen])
        )
        if one is not None:
            apart.append(f"{one.spearman:.2f} for the {len(chosen)} of {protocol}")
    svg = scatter_chart(
        points,
        title="Figure 4 as printed: MIXES TWO PROTOCOLS",
        x_label="published FID (two protocols)",
        y_label="accuracy, mean of five benchmarks",
        groups=[
            ", ".join(
                dict.fromkeys(card.dataset for card in cards if card.fid_protocol == protocol)
            )
            for protocol in protocols
        ],
    )
    caption = (
        "Published numbers only. The distances were measured in two ways and are not comparable "
        "across the two kinds of points: the correlation over all of them "
        f"(Spearman {mixed.spearman:.2f}, Pearson {mixed.pearson:.2f}, n = {mixed.count}) says "
        f"little. Within one protocol: Spearman {'; '.join(apart)}."
    )
    return Chart(svg=svg, caption=caption)


def _charts(points: pd.DataFrame, key: Key, fold: str, what: str = "") -> list[Part]:
    """Draw accuracy and IoU against the distance of at least two generators."""
    if points["generator"].nunique() < _FEWEST:
        return []
    families = list(dict.fromkeys(points["family"]))
    datasets = " and ".join(points["dataset"].unique())
    setting = points["setting"].iloc[0]
    kind = "measured" if key.measured else "published"
    names = short_names(points["generator"])
    x = points["distance"].to_numpy(dtype=np.float64)
    charts: list[Part] = []
    for score, name in SCORE_NAMES.items():
        y = points[score].to_numpy(dtype=np.float64)
        spreads = points[f"{score}_sd"].astype("Float64").fillna(0.0)
        drawn = [
            Point(
                x=a,
                y=b,
                label=names[str(line.generator)],
                group=families.index(line.family),
                spread=float(spread),
            )
            for a, b, spread, line in zip(x, y, spreads, points.itertuples(), strict=True)
        ]
        svg = scatter_chart(
            drawn,
            title=f"{name} on {key.benchmark}, {kind} distance",
            x_label=f"Fréchet distance, {kind} (smaller is better)",
            y_label=name,
            band=fit_band(x, y),
        )
        parts = [f"{what or f'Trained on {datasets}'}. Distance: {key.protocol}.", _told(x, y)]
        parts += [f"Context: {setting}."] if setting else []
        charts.append(Chart(svg=svg, caption=" ".join(parts), fold=fold))
    return charts


def _told(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    found = correlate(-x, y)
    if found is None:
        return "Too few different points for a correlation."
    parts = []
    for name, value, bounds in (
        ("Pearson r", found.pearson, found.pearson_interval),
        ("Spearman ρ", found.spearman, found.spearman_interval),
    ):
        between = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else ""
        parts.append(f"{name} {value:.2f}{between}")
    return f"{', '.join(parts)}, n = {found.count}; 1 means that closer is better."

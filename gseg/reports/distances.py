"""How the Fréchet distance of generators goes with their scores, and Figure 4 of Melas 2022.

Distances of different protocols are different quantities: nothing here puts two into one group or
chart, but Figure 4 as it is printed, which says so.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gseg.generators.catalogue import list_generators
from gseg.recipes.published.cells import published_tables
from gseg.reports.charts import Point, scatter_chart, scatter_picture
from gseg.reports.content import Chart, Part, ReportTable
from gseg.reports.settings import main_profile, over_seeds, setting_text, short_names, varying
from gseg.reports.statistics import correlate, fit_band

_SCORES: Final = {"accuracy": "accuracy", "iou": "IoU"}
_KINDS: Final = {"pearson": "Pearson r", "spearman": "Spearman ρ"}
# Settings that follow from the generator.
_OF_GENERATOR: Final = ("supervision", "train_resolution")
# A snapshot is named after its generator, and a number.
_SNAPSHOT: Final = re.compile(r"-\d+$")
# Generators of a chart.
_FEWEST: Final = 2
# Generators of results that say anything about distances.
_FEWEST_OF_ALL: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What the points of one chart have in common.

    Attributes:
        protocol: How the distances were measured.
        measured: Whether they were measured here, or are the published ones.
        benchmark: What was scored.
        overall: Whether this is the mean of all benchmarks, or the only one.
    """

    protocol: str
    measured: bool
    benchmark: str
    overall: bool

    @property
    def kind(self) -> str:
        """Whose distances these are, in a word."""
        return "measured" if self.measured else "published"


def distance_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Put every generator's distance beside its scores.

    Args:
        rows: Result rows of one metric profile.

    Returns:
        A line for each generator, setting, benchmark and distance, averaged over seeds:
        ``distance``, ``protocol``, ``measured`` (or published), ``accuracy``, ``iou``, their
        deviations, ``base``: the generator that this one is a snapshot of, or its own name; and
        ``setting``: the settings in words.
    """
    gan = rows[rows["method"] == "gan"]
    parts = []
    for value, measured in (("fid", True), ("published_fid", False)):
        protocol = f"{value}_protocol"
        known = gan[gan[value].notna() & gan[protocol].notna()]
        about = known.drop_duplicates("generator").set_index("generator")[["dataset", "family"]]
        for name, found in known.groupby(protocol, sort=True):
            # Not of the generator alone: latents of the samples may decide the distance, too.
            scores = over_seeds(found, (*_SCORES, value)).rename(columns={value: "distance"})
            scores = scores.join(about, on="generator")
            parts.append(scores.assign(protocol=str(name), measured=measured))
    if not parts:
        return pd.DataFrame(columns=["generator", "distance", "protocol", "measured"])
    points = pd.concat(parts, ignore_index=True)
    shown = [name for name in varying(points) if name not in _OF_GENERATOR]
    points["setting"] = [setting_text(line, shown) for _, line in points.iterrows()]
    points["base"] = points["generator"].map(lambda name: _SNAPSHOT.sub("", name))
    return points


def protocol_groups(points: pd.DataFrame) -> Iterator[tuple[Key, pd.DataFrame]]:
    """Go through the points of one distance protocol and one benchmark.

    Args:
        points: From `distance_points`.

    Yields:
        For each protocol the mean of all benchmarks first, as in Figure 4, if there are several.
    """
    for (protocol, measured), group in points.groupby(["protocol", "measured"], sort=True):
        whole = _mean_of_benchmarks(group)
        name = f"{group['benchmark'].nunique()} benchmarks, mean"
        key = Key(protocol=str(protocol), measured=bool(measured), benchmark=name, overall=True)
        if whole is not None:
            yield key, whole
        for (benchmark, evaluation), part in group.groupby(["benchmark", "eval_protocol"]):
            yield replace(key, benchmark=f"{benchmark} ({evaluation})", overall=whole is None), part


def _mean_of_benchmarks(points: pd.DataFrame) -> pd.DataFrame | None:
    """Average over the benchmarks, as Figure 4 does; None unless there are several."""
    count = points["benchmark"].nunique()
    if count < 2:
        return None
    keys = ["generator", "base", "dataset", "family", "distance", "setting", "eval_protocol"]
    groups = points.astype({"data_size": "Float64"}).groupby(keys, dropna=False, sort=False)
    means = groups[[*_SCORES, "data_size"]].mean()
    # A mean over fewer benchmarks would stand beside those of harder ones.
    complete = means[groups["benchmark"].nunique() == count].reset_index()
    return complete.assign(accuracy_sd=np.nan, iou_sd=np.nan) if len(complete) else None


def _main_setting(points: pd.DataFrame) -> pd.DataFrame:
    """Keep the setting with the most generators and, of these, the most samples."""
    groups = points.groupby("setting")
    sizes = groups.agg(count=("generator", "nunique"), samples=("data_size", "max"))
    sizes = sizes.sort_values(["count", "samples"], ascending=False, kind="stable")
    return points.loc[points["setting"] == str(sizes.index[0])]


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
    charts: list[Chart] = []
    for key, group in protocol_groups(points):
        chosen = _main_setting(group)
        # A generator and its snapshots are no independent points.
        apart = chosen[chosen["generator"] == chosen["base"]]
        datasets = [part for _, part in apart.groupby("dataset")]
        for part in (apart, *(datasets if len(datasets) > 1 else ())):
            charts += _charts(part, key, f"Trained on {' and '.join(part['dataset'].unique())}")
        for base, part in chosen.groupby("base"):
            if len(part) > 1:
                charts += _charts(part, key, f"Snapshots of {base}")
    # Those at sight first; sorting is stable.
    charts.sort(key=lambda chart: bool(chart.fold))
    return [part for part in (*charts, correlation_table(points), printed_figure()) if part]


def _charts(points: pd.DataFrame, key: Key, what: str) -> Iterator[Chart]:
    """Draw accuracy and IoU against the distance of at least two generators."""
    if points["generator"].nunique() < _FEWEST:
        return
    labels = points["generator"].map(short_names(points["generator"]))
    groups = pd.factorize(points["family"])[0]
    x = points["distance"].to_numpy(dtype=np.float64)
    for score, name in _SCORES.items():
        y = points[score].to_numpy(dtype=np.float64)
        spreads = points[f"{score}_sd"].astype("Float64").fillna(0.0)
        svg = scatter_chart(
            _points(x=x, y=y, label=labels, group=groups, spread=spreads),
            title=f"{name} on {key.benchmark}, {key.kind} distance",
            x_label=f"Fréchet distance, {key.kind} (smaller is better)",
            y_label=name,
            band=fit_band(x, y),
        )
        setting = points["setting"].iloc[0]
        context = f" Context: {setting}." if setting else ""
        caption = f"{what}. Distance: {key.protocol}. {_told(x, y)}{context}"
        fold = "" if key.overall else f"Each benchmark; distance: {key.protocol}"
        yield Chart(svg=svg, caption=caption, fold=fold)


def _told(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    found = correlate(-x, y)
    if found is None:
        return "Too few different points for a correlation."
    parts = []
    for key, name in _KINDS.items():
        bounds = getattr(found, f"{key}_interval")
        interval = " [{:.2f}, {:.2f}]".format(*bounds) if bounds else ""
        parts.append(f"{name} {getattr(found, key):.2f}{interval}")
    return f"{', '.join(parts)}, n = {found.count}; 1 means that closer is better."


def _points(**columns: Iterable[Any]) -> list[Point]:
    """Make points of the values of their fields."""
    values = zip(*columns.values(), strict=True)
    return [Point(**dict(zip(columns, each, strict=True))) for each in values]


def correlation_table(points: pd.DataFrame) -> ReportTable | None:
    """Correlate distance and scores in every setting, protocol and benchmark.

    Args:
        points: From `distance_points`.

    Returns:
        A table with a line for each that has at least three generators, snapshots of a generator
        left out; None if none has.
    """
    lines = [line for key, group in protocol_groups(points) for line in _correlations(key, group)]
    if not lines:
        return None
    frame = pd.DataFrame(lines).sort_values("generators", ascending=False, kind="stable")
    bounds = [name for name in lines[0] if name.endswith(("_low", "_high"))]
    return ReportTable(
        name="correlations",
        title="Correlation of the negative distance with the scores",
        frame=frame.drop(columns=[name for name in bounds if frame[name].isna().all()]),
        headings={"generators": "n", **_KINDS, "protocol": "distance"}
        | {name: name.rpartition("_")[2] for name in bounds},
        words=_SCORES,
        footnotes=("protocol",),
        digits={name: 2 for name in lines[0] if name.startswith(("pearson", "spearman"))},
        most=24,
        note="1 means that the closer generator always segments better. Low and high: 95 % "
        "bootstrap interval over the generators, from five generators on. Snapshots of a generator "
        "are left out. The distances are those of the list below.",
    )


def _correlations(key: Key, points: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Correlate in every setting that has at least three generators, snapshots left out."""
    apart = points[points["generator"] == points["base"]]
    for setting, group in apart.groupby("setting", sort=False):
        # Negative: the closer generator is the better one.
        x = -group["distance"].to_numpy(dtype=np.float64)
        for score in _SCORES:
            found = correlate(x, group[score].to_numpy(dtype=np.float64))
            if found is None:
                continue
            line: dict[str, object] = {"benchmark": key.benchmark, "score": score}
            line |= {"setting": setting, "generators": found.count}
            for name in _KINDS:
                low, high = getattr(found, f"{name}_interval") or (None, None)
                line |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
            yield line | {"protocol": f"{key.protocol} ({key.kind})"}


def printed_figure() -> Chart:
    """Draw Figure 4 of Melas-Kyriazi et al. 2022 from the paper's Table 2 and published distances.

    Returns:
        One chart: mean accuracy over five benchmarks against the published FID of nine generators.
        It mixes two protocols, as the figure in the paper does, and says so.
    """
    cells = published_tables().query("paper == 'melas2022' and table == '2'")
    means = cells[cells["metric"] == "accuracy"].groupby("generator")["value"].mean()
    printed = pd.DataFrame(
        [
            (card.published_fid, means[card.name], card.family, card.fid_protocol, card.dataset)
            for card in list_generators("published")
            if card.name in means.index and card.published_fid and "StudioGAN" in card.fid_protocol
        ],
        columns=["x", "y", "label", "protocol", "dataset"],
    )
    mixed = correlate(-printed["x"].to_numpy(), printed["y"].to_numpy())
    assert mixed is not None
    apart, datasets = [], []
    for protocol, part in printed.groupby("protocol", sort=False):
        datasets.append(", ".join(part["dataset"].unique()))
        one = correlate(-part["x"].to_numpy(), part["y"].to_numpy())
        if one is not None:
            apart.append(f"{one.spearman:.2f} for the {len(part)} of {protocol}")
    groups = pd.factorize(printed["protocol"])[0]
    svg = scatter_chart(
        _points(x=printed["x"], y=printed["y"], label=printed["label"], group=groups),
        title="Figure 4 as printed: MIXES TWO PROTOCOLS",
        x_label="published FID (two protocols)",
        y_label="accuracy, mean of five benchmarks",
        groups=datasets,
    )
    caption = (
        "Published numbers only. The distances were measured in two ways and are not comparable "
        "across the two kinds of points: the correlation over all of them "
        f"(Spearman {mixed.spearman:.2f}, Pearson {mixed.pearson:.2f}, n = {mixed.count}) says "
        f"little. Within one protocol: Spearman {'; '.join(apart)}."
    )
    return Chart(svg=svg, caption=caption)


def distance_figure(path: Path, rows: pd.DataFrame, *, title: str) -> None:
    """Draw accuracy and IoU against the Fréchet distance, after Figure 4 of Melas 2022.

    Above each panel stands the rank correlation over the trials with the most samples.

    Args:
        path: PNG file.
        rows: Result rows of one benchmark, metric profile and distance protocol, with a distance.
        title: Above the figure.

    Raises:
        ValueError: The rows mix distance protocols.
    """
    if rows["fid_protocol"].nunique() > 1:
        raise ValueError("One figure shows one distance protocol; the rows have several.")
    sizes, groups = np.unique(rows["data_size"].astype(int), return_inverse=True)
    largest = rows[groups == len(sizes) - 1]
    first = largest.drop_duplicates("generator")["generator"]
    named = first.map(short_names(first)).reindex(rows.index, fill_value="")
    panels = {}
    for score, name in _SCORES.items():
        # Of one size: with the number of samples scores rise at the same distance.
        heading = _rank_correlation(largest["fid"], largest[score])
        panels[name, heading] = _points(x=rows["fid"], y=rows[score], label=named, group=groups)
    x_label = f"Fréchet distance ({rows['fid_protocol'].iloc[0]})"
    names = [f"{size:,} samples" for size in sizes]
    scatter_picture(path, panels, title=title, x_label=x_label, groups=names)


def _rank_correlation(distances: "pd.Series[float]", scores: "pd.Series[float]") -> str:
    if distances.nunique() < _FEWEST_OF_ALL:
        return "rank correlation needs three generators"
    found = correlate(-np.asarray(distances, np.float64), np.asarray(scores, np.float64))
    if found is None:
        return "no rank correlation: all scores are equal"
    return f"Spearman ρ = {found.spearman:.2f} (closer is better: 1)"

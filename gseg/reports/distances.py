"""Every generator's Fréchet distance beside its scores, and how the two go together.

Distances of different protocols are different quantities: nothing here puts two into one group.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from gseg.reports.content import ReportTable
from gseg.reports.settings import over_seeds, setting_text, varying
from gseg.reports.statistics import correlate

SCORE_NAMES: Final = {"accuracy": "accuracy", "iou": "IoU"}
_OF_GENERATOR: Final = ("supervision", "train_resolution")
"""Settings that follow from the generator."""
_HEADINGS: Final = {
    "generators": "n",
    "pearson": "Pearson r",
    "spearman": "Spearman ρ",
    "protocol": "distance",
    **{f"{name}_{side}": side for name in ("pearson", "spearman") for side in ("low", "high")},
}
_SNAPSHOT: Final = re.compile(r"-\d+$")


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
    for value, protocol, measured in (
        ("fid", "fid_protocol", True),
        ("published_fid", "published_fid_protocol", False),
    ):
        known = gan[gan[value].notna() & gan[protocol].notna()]
        about = known.drop_duplicates("generator").set_index("generator")[["dataset", "family"]]
        for name, found in known.groupby(protocol, sort=True):
            # Not of the generator alone: latents of the samples may decide the distance, too.
            scores = over_seeds(found, ("accuracy", "iou", value)).rename(
                columns={value: "distance"}
            )
            scores = scores.join(about, on="generator")
            parts.append(scores.assign(protocol=str(name), measured=measured))
    if not parts:
        return pd.DataFrame(columns=["generator", "distance", "protocol"])
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
    if not len(points):
        return
    for (protocol, measured), group in points.groupby(["protocol", "measured"], sort=True):
        common: dict[str, Any] = {"protocol": protocol, "measured": bool(measured)}
        whole = _mean_of_benchmarks(group)
        if whole is not None:
            name = f"{group['benchmark'].nunique()} benchmarks, mean"
            yield Key(**common, benchmark=name, overall=True), whole
        for (benchmark, evaluation), part in group.groupby(["benchmark", "eval_protocol"]):
            name = f"{benchmark} ({evaluation})"
            yield Key(**common, benchmark=name, overall=whole is None), part


def _mean_of_benchmarks(points: pd.DataFrame) -> pd.DataFrame | None:
    """Average over the benchmarks, as Figure 4 does; None unless there are several."""
    count = points["benchmark"].nunique()
    if count < 2:
        return None
    keys = ["generator", "base", "dataset", "family", "distance", "setting", "eval_protocol"]
    values = points.assign(size=points["data_size"].astype("Float64"))
    groups = values.groupby(keys, dropna=False, sort=False)
    means = groups[["accuracy", "iou", "size"]].mean()
    complete = means[groups["benchmark"].nunique() == count].reset_index()
    complete["data_size"] = complete.pop("size")
    return complete.assign(accuracy_sd=np.nan, iou_sd=np.nan) if len(complete) else None


def main_setting(points: pd.DataFrame) -> pd.DataFrame:
    """Keep the setting with the most generators and, of these, the most samples."""
    sizes = points.groupby("setting").agg(
        count=("generator", "nunique"), samples=("data_size", "max")
    )
    best = str(sizes.sort_values(["count", "samples"], ascending=False, kind="stable").index[0])
    return points.loc[points["setting"] == best]


def _correlations(key: Key, points: pd.DataFrame) -> list[dict[str, object]]:
    """Correlate in every setting that has at least three generators, snapshots left out."""
    lines: list[dict[str, object]] = []
    apart = points[points["generator"] == points["base"]]
    for setting, group in apart.groupby("setting", sort=False):
        x = -group["distance"].to_numpy(dtype=np.float64)
        for score in SCORE_NAMES:
            found = correlate(x, group[score].to_numpy(dtype=np.float64))
            if found is None:
                continue
            low, high = found.spearman_interval or (None, None)
            least, most = found.pearson_interval or (None, None)
            lines.append(
                {
                    "benchmark": key.benchmark,
                    "score": score,
                    "setting": setting,
                    "generators": found.count,
                    "pearson": found.pearson,
                    "pearson_low": least,
                    "pearson_high": most,
                    "spearman": found.spearman,
                    "spearman_low": low,
                    "spearman_high": high,
                    "protocol": f"{key.protocol} ({'measured' if key.measured else 'published'})",
                }
            )
    return lines


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
    intervals = [name for name in lines[0] if name.endswith(("_low", "_high"))]
    empty = [name for name in intervals if frame[name].isna().all()]
    return ReportTable(
        name="correlations",
        title="Correlation of the negative distance with the scores",
        frame=frame.drop(columns=empty),
        headings=_HEADINGS,
        words=SCORE_NAMES,
        footnotes=("protocol",),
        digits={name: 2 for name in lines[0] if name.startswith(("pearson", "spearman"))},
        most=24,
        note="1 means that the closer generator always segments better. Low and high: 95 % "
        "bootstrap interval over the generators, from five generators on. Snapshots of a generator "
        "are left out. The distances are those of the list below.",
    )

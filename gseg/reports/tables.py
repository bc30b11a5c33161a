"""The tables that a sweep prints."""

from typing import Final

import pandas as pd
from rich.table import Table
from rich.text import Text

from gseg.reports.settings import (
    HEADINGS,
    SEEDS,
    SETTINGS,
    over_seeds,
    present,
    same_in,
    says_nothing,
    varying,
)

METHOD_NAMES: Final = {
    "gan": "",
    "true_masks": "true masks (ceiling)",
    "otsu": "Otsu threshold",
    "centre_disc": "centre disc",
}
BASELINES: Final = ("otsu", "centre_disc")
_WEAK: Final = "▼"
_SCORES: Final = ("accuracy", "iou", "max_f_beta")
_SECONDS: Final = (
    "direction_seconds",
    "samples_seconds",
    "training_seconds",
    "scoring_seconds",
)
_FIRST: Final = ("data_size", "mask_kind")
_SHOWN: Final = (*_FIRST, *(name for name in SETTINGS if name in HEADINGS and name not in _FIRST))
"""Settings with a heading of their own: shown wherever they vary, the first ones first."""


def summary(rows: pd.DataFrame, benchmark: str, metric_profile: str) -> pd.DataFrame:
    """Reduce result rows of one benchmark to what people look at first.

    Args:
        rows: Result rows; see `gseg.pipeline.rows`.
        benchmark: Which benchmark.
        metric_profile: Which profile.

    Returns:
        One line for each row: name, the settings that differ between the lines, Fréchet
        distance, scores, seconds; generators first, best IoU on top, baselines last. The distance
        is the column ``fid``, or one column ``fid (PROTOCOL)`` for each protocol of several.
    """
    chosen = rows[(rows.benchmark == benchmark) & (rows.metric_profile == metric_profile)].copy()
    is_gan = chosen.method == "gan"
    chosen["name"] = chosen.generator.where(is_gan, chosen.method.map(METHOD_NAMES))
    chosen["seed"] = chosen.train_seed
    gans = chosen[is_gan]
    shown = [name for name in varying(gans, _SHOWN) if gans[name].nunique() > 1]
    shown += _telling_apart(gans, shown)
    seeds = [name for name in present(gans, SEEDS) if gans[name].nunique() > 1]
    shown += ["seed"] if _agree(gans[seeds]) else seeds
    chosen["seconds"] = chosen[list(_SECONDS)].sum(axis=1)
    chosen["group"] = ~is_gan
    chosen = chosen.sort_values(["group", "iou"], ascending=[True, False])
    columns = ["method", "name", *shown, *_split_distances(chosen), *_SCORES, "seconds"]
    return chosen[columns].reset_index(drop=True)


def _telling_apart(rows: pd.DataFrame, shown: list[str]) -> list[str]:
    """Find settings without which trials that differ in more than their seeds would look alike."""
    known = ["generator", *shown]
    found: list[str] = []
    # What is named by its parts comes after these: then they are shown, and it mostly is not.
    for name in sorted(present(rows, SETTINGS), key=lambda name: says_nothing(rows, name)):
        before = same_in(rows, [*known, *found]).nunique()
        if same_in(rows, [*known, *found, name]).nunique() > before:
            found.append(name)
    return found


def _split_distances(rows: pd.DataFrame) -> list[str]:
    """Give every distance protocol a column of its own, if there are several."""
    protocols = rows.loc[rows.fid.notna(), "fid_protocol"].dropna().unique()
    if len(protocols) < 2:
        return ["fid"]
    columns = {f"fid ({protocol})": rows.fid_protocol == protocol for protocol in protocols}
    for column, here in columns.items():
        rows[column] = rows.fid.where(here)
    return list(columns)


def sweep_tables(
    rows: pd.DataFrame, benchmark: str, pictures: int, metric_profile: str
) -> list[Table]:
    """Draw what a sweep prints of one benchmark.

    Args:
        rows: Result rows; see `gseg.pipeline.rows`.
        benchmark: Which benchmark.
        pictures: How many pictures it has.
        metric_profile: Which profile.

    Returns:
        The table of all trials; and, if some differ in their seeds alone, that of their means.
    """
    lines = summary(rows, benchmark, metric_profile)
    title = f"{benchmark}: {pictures:,} pictures, profile {metric_profile}"
    tables = [summary_table(lines, title)]
    means = seed_summary(lines)
    if len(means) < len(lines):
        spread = f"{benchmark}: mean ± standard deviation over seeds"
        tables.append(summary_table(means, spread))
    return tables


def seed_summary(lines: pd.DataFrame) -> pd.DataFrame:
    """Reduce lines that differ in their seeds alone to their mean.

    Args:
        lines: From `summary`.

    Returns:
        The same columns without seeds, with ``seeds`` (how many lines one stands for) and, for each
        score, ``<score>_sd``: the standard deviation over seeds (n - 1), empty for a single one.
    """
    numbers = [*_distances(lines), *_SCORES, "seconds"]
    keys = [name for name in lines.columns if name not in (*numbers, *SEEDS, "seed")]
    deviations = [f"{name}_sd" for name in _SCORES]
    found = over_seeds(lines, numbers, keys)[[*keys, "seeds", *numbers, *deviations]]
    found = found.astype(dict.fromkeys([*numbers, *deviations], "float64"))
    found["group"] = found.method != "gan"
    ordered = found.sort_values(["group", "iou"], ascending=[True, False], ignore_index=True)
    return ordered.drop(columns="group")


def summary_table(lines: pd.DataFrame, title: str) -> Table:
    """Draw a summary for the terminal.

    The best generator's value of each score is marked, and so is every generator whose IoU is
    below that of a baseline that learns nothing.

    Args:
        lines: From `summary` or `seed_summary`.
        title: Above the table.

    Returns:
        A table for a rich console.
    """
    table = Table(title=title, title_justify="left")
    headings = HEADINGS | {"fid": "distance"}
    columns = [name for name in lines.columns if name != "method" and not name.endswith("_sd")]
    columns = [name for name in columns if not name.startswith("fid") or lines[name].notna().any()]
    for name in columns:
        heading = headings.get(name, name.replace("_", " ").replace("fid (", "distance ("))
        number = name in (*_SCORES, "seconds", "fid", "data_size", "seeds")
        table.add_column(
            heading,
            justify="left" if name == "name" else "right",
            no_wrap=number,
            overflow="fold",
        )
    gan = lines[lines.method == "gan"]
    to_beat = lines.loc[lines.method.isin(BASELINES), "iou"].max()
    if (gan.iou < to_beat).any():
        table.caption = f"{_WEAK} IoU below that of a baseline that learns nothing"
        table.caption_justify = "left"
    best = {name: gan[name].max() for name in _SCORES}
    best |= {name: gan[name].min() for name in _distances(lines)}
    previous = "gan"
    for line in lines.to_dict("records"):
        if line["method"] != "gan" and previous == "gan":
            table.add_section()
        previous = str(line["method"])
        cells = []
        for name in columns:
            marked = previous == "gan" and name in best and line[name] == best[name]
            deviation = line.get(f"{name}_sd")
            spread = "" if pd.isna(deviation) else f" ± {_shown(name, deviation)}"
            weak = name == "name" and previous == "gan" and line["iou"] < to_beat
            shown = _shown(name, line[name]) + spread + (f" {_WEAK}" if weak else "")
            cells.append(Text(shown, style="bold green" if marked else ""))
        table.add_row(*cells)
    return table


def _distances(lines: pd.DataFrame) -> list[str]:
    return [name for name in lines.columns if name.startswith("fid")]


def _agree(seeds: pd.DataFrame) -> bool:
    """Say whether every trial has one seed for all stages whose seed differs between trials."""
    return not seeds.empty and bool((seeds.nunique(axis=1, dropna=False) == 1).all())


def _shown(name: str, value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if name in _SCORES:
        return f"{value:.3f}"
    if name.startswith("fid"):
        return f"{value:.2f}"
    if name == "seconds":
        return f"{value:.0f}"
    if name == "data_size" and isinstance(value, int | float):
        return f"{int(value):,}"
    if isinstance(value, float):  # pandas keeps whole numbers so, where other rows have none
        return str(int(value)) if value.is_integer() else f"{value:g}"
    return str(value)

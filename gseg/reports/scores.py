"""Tables of scores: the best of each kind, and all of each benchmark, protocol and profile."""

from typing import Final

import pandas as pd

from gseg.reports import settings
from gseg.reports.content import Best, ReportTable
from gseg.reports.settings import SCORES, SCORING, SEEDS, main_profile, present, varying
from gseg.reports.tables import method_names
from gseg.storage.files import file_name

# Confidence over pictures, in newer versions; deviations over seeds say more.
_INTERVAL: Final = ("iou_low", "iou_high")
_BEST: Final[dict[str, Best]] = {
    "fid": "lowest",
    **dict.fromkeys(SCORES, "highest"),
    "mae": "lowest",
}
# Settings with a column of their own in the overview, or that follow from the generator.
_ELSEWHERE: Final = ("data_size", "supervision", "train_resolution")


def overview_text(rows: pd.DataFrame) -> str:
    """Say in a sentence how many experiments, generators, benchmarks and seeds there are."""
    gan = rows[rows["method"] == "gan"]
    counts = (
        (rows["experiment"].nunique(), "experiment", "experiments"),
        (gan["generator"].nunique(), "generator", "generators"),
        (rows["benchmark"].nunique(), "benchmark", "benchmarks"),
        (len(gan[present(gan, SEEDS)].drop_duplicates()), "set of seeds", "sets of seeds"),
    )
    said = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts]
    return f"{', '.join(said[:-1])} and {said[-1]}; {len(rows):,} rows."


def overview_table(rows: pd.DataFrame) -> ReportTable:
    """Tabulate the best generator of each benchmark beside the methods without one.

    Args:
        rows: Result rows.

    Returns:
        For each benchmark and protocol, in the main profile: the best generator by IoU, then the
        best line of every other method.
    """
    shown = [name for name in varying(rows[rows["method"] == "gan"]) if name not in _ELSEWHERE]
    main = rows[rows["metric_profile"] == main_profile(rows)]
    groups = [seed_lines(group) for _, group in main.groupby(list(SCORING), sort=True)]
    # Sorted by IoU: the first line of a method is its best.
    best = pd.concat([group.drop_duplicates("method") for group in groups], ignore_index=True)
    told = [settings.setting_text(line, shown) for _, line in best.iterrows()]
    best["setting"] = pd.Series(told, dtype=object).where(best["is_gan"], "")
    columns = ["benchmark", "eval_protocol", "name", "setting"]
    columns += ["data_size", "accuracy", "iou", "max_f_beta", "seeds"]
    if not best["setting"].any():
        columns.remove("setting")
    return ReportTable(
        name="overview",
        title="The best generator, and what needs none",
        frame=best[columns].rename(columns={"name": "best"}),
        headings={"best": "best of its kind", "eval_protocol": "protocol"},
        note=f"Metric profile {main_profile(rows)}; by IoU.",
    )


def benchmark_tables(rows: pd.DataFrame) -> list[ReportTable]:
    """Tabulate the scores on each benchmark.

    Args:
        rows: Result rows.

    Returns:
        A table for each benchmark, evaluation protocol and metric profile, the main profile's
        first; trials that differ in their seeds alone are one line.
    """
    main = main_profile(rows)
    groups = list(rows.groupby(list(SCORING), sort=True))
    # Sorting is stable: other profiles stay in order behind the main one.
    groups.sort(key=lambda item: (*item[0][:2], item[0][2] != main))
    return [_table(group, *map(str, key), folded=key[-1] != main) for key, group in groups]


def seed_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Reduce rows to one line for each experiment but for its seeds, generators first, best on top.

    Args:
        rows: Result rows of one benchmark, evaluation protocol and metric profile.

    Returns:
        What `over_seeds` gives, with ``name`` and ``is_gan``.
    """
    lines = settings.over_seeds(rows, (*_BEST, *_INTERVAL))
    lines["is_gan"] = lines["method"] == "gan"
    lines["name"] = lines["generator"].where(lines["is_gan"], method_names(lines))
    return lines.sort_values(
        ["is_gan", "iou", "name"], ascending=[False, False, True], ignore_index=True
    )


def _table(
    rows: pd.DataFrame, benchmark: str, protocol: str, profile: str, *, folded: bool
) -> ReportTable:
    lines = seed_lines(rows)
    shown = [name for name in varying(rows[rows["method"] == "gan"]) if name != "supervision"]
    several = bool((lines["seeds"] > 1).any())
    # Distances of several protocols are different quantities: none is shown.
    columns = ["fid"] if rows["fid_protocol"].nunique() <= 1 else []
    spread = ["seeds", "accuracy", "accuracy_sd", "iou", "iou_sd"]
    columns += spread if several else ["accuracy", "iou", *_INTERVAL]
    columns += ["f_beta", "max_f_beta", "mae"]
    columns = [name for name in present(lines, columns) if lines[name].notna().any()]
    pictures = int(rows["images"].max()) if rows["images"].notna().any() else 0
    return ReportTable(
        name=file_name(f"scores_{benchmark}_{protocol}_{profile}"),
        title=f"{benchmark}: {pictures:,} pictures, protocol {protocol}, profile {profile}",
        frame=lines[["name", *shown, *columns, "is_gan"]],
        digits={"fid": 2},
        best=_BEST,
        competing="is_gan",
        note=_note(rows, several=several),
        folded=folded,
    )


def _note(rows: pd.DataFrame, *, several: bool) -> str:
    parts = ["Marked: the best generator."]
    if several:
        parts.append("± is the standard deviation over seeds.")
    elif present(rows, _INTERVAL):
        parts.append("Low and high: 95 % interval over the pictures.")
    protocols = rows["fid_protocol"].dropna().unique()
    if len(protocols) == 1:
        parts.append(f"Fréchet distance: {protocols[0]}.")
    elif len(protocols) > 1:
        parts.append("Fréchet distances of several protocols do not share a column; see above.")
    if "supervision" in rows and rows["supervision"].astype("string").str.contains("search").any():
        parts.append("Some settings were chosen with labels; see the column supervision.")
    return " ".join(parts)

"""The first screen of a report: what was run, and what came out best."""

from typing import Final

import pandas as pd

from gseg.reports.content import ReportTable
from gseg.reports.scores import seed_lines
from gseg.reports.settings import (
    HEADINGS,
    SCORING,
    SEEDS,
    main_profile,
    present,
    setting_text,
    varying,
)

_ELSEWHERE: Final = ("data_size", "supervision", "train_resolution")
"""Settings with a column of their own, or that follow from the generator."""


def overview_text(rows: pd.DataFrame) -> str:
    """Say in a sentence what the results are.

    Args:
        rows: Result rows.

    Returns:
        Counts of trials, generators, benchmarks and seeds.
    """
    gan = rows[rows["method"] == "gan"]
    seeds = len(gan[present(gan, SEEDS)].drop_duplicates())
    counts = (
        (rows["experiment"].nunique(), "experiment"),
        (gan["generator"].nunique(), "generator"),
        (rows["benchmark"].nunique(), "benchmark"),
        (seeds, "set of seeds"),
    )
    said = [f"{count:,} {_plural(name, count)}" for count, name in counts]
    return f"{', '.join(said[:-1])} and {said[-1]}; {len(rows):,} rows."


def overview_table(rows: pd.DataFrame) -> ReportTable:
    """Tabulate the best generator of each benchmark beside the methods without one.

    Args:
        rows: Result rows.

    Returns:
        For each benchmark and protocol, in the main profile: the best generator by IoU, then the
        best line of every other method.
    """
    lines = []
    chosen = rows[rows["metric_profile"] == main_profile(rows)]
    shown = [name for name in varying(rows[rows["method"] == "gan"]) if name not in _ELSEWHERE]
    for key, group in chosen.groupby(list(SCORING), sort=True):
        found = seed_lines(group)
        best = found.sort_values("iou", ascending=False).drop_duplicates("method")
        best = best.sort_values(["is_gan", "iou"], ascending=False)
        for _, line in best.iterrows():
            about = dict(zip(SCORING[:2], key[:2], strict=True))
            about["best"] = line["name"]
            about["setting"] = setting_text(line, shown) if line["is_gan"] else ""
            scores = {name: line[name] for name in ("data_size", "accuracy", "iou", "max_f_beta")}
            lines.append({**about, **scores, "seeds": line["seeds"]})
    kinds = {"data_size": "Int64", "seeds": "Int64"}
    frame = pd.DataFrame(lines).astype(kinds)
    return ReportTable(
        name="overview",
        title="The best generator, and what needs none",
        frame=frame if frame["setting"].any() else frame.drop(columns="setting"),
        headings=HEADINGS | {"best": "best of its kind", "eval_protocol": "protocol"},
        note=f"Metric profile {main_profile(rows)}; by IoU.",
    )


def _plural(name: str, count: int) -> str:
    if count == 1:
        return name
    return name.replace("set of", "sets of") if name.startswith("set of") else f"{name}s"

"""Tables of scores: one for each benchmark, evaluation protocol and metric profile."""

from typing import Final

import pandas as pd

from gseg.reports.content import Best, ReportTable
from gseg.reports.settings import (
    DIGITS,
    HEADINGS,
    SCORES,
    SCORING,
    SETTINGS,
    main_profile,
    over_seeds,
    present,
    varying,
)
from gseg.reports.tables import METHOD_NAMES

_MORE: Final = ("mae",)
"""Scores of newer versions, of which less is better."""
_INTERVAL: Final = ("iou_low", "iou_high")
"""Confidence over pictures, in newer versions; deviations over seeds say more."""


def benchmark_tables(rows: pd.DataFrame) -> list[ReportTable]:
    """Tabulate the scores on each benchmark.

    Args:
        rows: Result rows.

    Returns:
        A table for each benchmark, evaluation protocol and metric profile, the main profile's
        first; trials that differ in their seeds alone are one line.
    """
    main = main_profile(rows)
    groups = sorted(
        rows.groupby(list(SCORING), sort=True),
        key=lambda item: (item[0][0], item[0][1], item[0][2] != main, item[0][2]),
    )
    return [_table(group, *map(str, key), folded=key[-1] != main) for key, group in groups]


def seed_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Reduce rows to one line for each experiment but for its seeds, generators first, best on top.

    Args:
        rows: Result rows of one benchmark, evaluation protocol and metric profile.

    Returns:
        What `over_seeds` gives, with ``name`` and ``is_gan``.
    """
    lines = over_seeds(rows, (*SCORES, *_MORE, *_INTERVAL, "fid"))
    lines["is_gan"] = lines["method"] == "gan"
    named = lines["method"].map(lambda method: METHOD_NAMES.get(method, method))
    lines["name"] = lines["generator"].where(lines["is_gan"], named)
    return lines.sort_values(
        ["is_gan", "iou", "name"], ascending=[False, False, True], ignore_index=True
    )


def _table(
    rows: pd.DataFrame, benchmark: str, protocol: str, profile: str, *, folded: bool
) -> ReportTable:
    lines = seed_lines(rows)
    settings = [
        name for name in varying(rows[rows["method"] == "gan"], SETTINGS) if name != "supervision"
    ]
    several = bool((lines["seeds"] > 1).any())
    doubts = ("accuracy_sd", "iou_sd") if several else ()
    order = ("accuracy", *doubts[:1], "iou", *doubts[1:], *(() if several else _INTERVAL))
    scores = [
        name
        for name in (*order, "f_beta", "max_f_beta", *_MORE)
        if name in lines.columns and lines[name].notna().any()
    ]
    one_protocol = rows["fid_protocol"].nunique() <= 1
    distance = ["fid"] if one_protocol and rows["fid"].notna().any() else []
    ways: dict[str, Best] = dict.fromkeys(SCORES, "highest")
    ways |= dict.fromkeys((*_MORE, "fid"), "lowest")
    columns = ["name", *settings, *distance, *(["seeds"] if several else []), *scores]
    pictures = int(rows["images"].max()) if rows["images"].notna().any() else 0
    return ReportTable(
        name=_file_name(f"scores_{benchmark}_{protocol}_{profile}"),
        title=f"{benchmark}: {pictures:,} pictures, protocol {protocol}, profile {profile}",
        frame=lines[[*columns, "is_gan"]],
        headings=HEADINGS,
        digits=DIGITS | {"fid": 2},
        best={name: ways[name] for name in [*distance, *scores] if name in ways},
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
    searched = present(rows, ("supervision",))
    if searched and rows["supervision"].astype("string").str.contains("search").any():
        parts.append("Some settings were chosen with labels; see the column supervision.")
    return " ".join(parts)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-." else "-" for letter in text)

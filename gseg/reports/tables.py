"""Tables for the terminal: how they are laid out, and those that every sweep prints."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from rich.table import Table
from rich.text import Text

from gseg.reports import settings
from gseg.reports.settings import HEADINGS, SEEDS, SETTINGS, present, same_in, varying
from gseg.scores.specs import RULES

METHOD_NAMES: Final = {
    "gan": "",
    "true_masks": "true masks (ceiling)",
    **RULES,
}
_WEAK: Final = "▼"
_SCORES: Final = ("accuracy", "iou", "max_f_beta")
_FORMS: Final = {**dict.fromkeys(_SCORES, ".3f"), "seconds": ".0f", "data_size": ","}
_WHOLE: Final = (*_FORMS, "fid", "seeds")
# Without the distance's: it is the generator's, not the trial's.
_SECONDS: Final = ("direction_seconds", "samples_seconds", "training_seconds", "scoring_seconds")
_FIRST: Final = ("data_size", "mask_kind")
# Settings with a heading of their own: shown wherever they vary, the first ones first.
_SHOWN: Final = (*_FIRST, *(name for name in SETTINGS if name in HEADINGS and name not in _FIRST))

Line = Mapping[Hashable, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table for the terminal.

    Attributes:
        name: Of the lines' column; one called ``<name>_sd`` holds its deviation over seeds.
        heading: What people read; by default what they read everywhere.
        form: How numbers are written, such as ``.3f``; see `written`.
        right: Whether it is set at the right.
        whole: Whether its texts are never broken into lines.
        style: Of rich.
    """

    name: str
    heading: str = ""
    form: str = ""
    right: bool = True
    whole: bool = False
    style: str = ""

    def text(self, line: Line) -> str:
        """Write what stands there in a line."""
        shown = written(line[self.name], self.form)
        deviation = written(line.get(f"{self.name}_sd"), self.form)
        return f"{shown} ± {deviation}" if shown and deviation else shown


def written(value: str | float | None, form: str = "") -> str:
    """Write a cell; an empty one is empty, numbers without a form have the digits they need."""
    if pd.isna(value):
        return ""
    # Pandas keeps whole numbers as floats where other rows have none.
    if isinstance(value, float) and value.is_integer() and form in ("", ","):
        value = int(value)
    if isinstance(value, bool | str):
        return str(value)
    return format(value, "g" if isinstance(value, float) and form in ("", ",") else form)


def terminal_table(
    title: str,
    columns: Sequence[Column],
    lines: pd.DataFrame,
    *,
    note: str = "",
    parts: str = "",
    is_best: Callable[[str, Line], bool] = lambda name, line: False,
) -> Table:
    """Lay lines out for a rich console.

    Args:
        title: Above the table.
        columns: From left to right.
        lines: A row of the table for each.
        note: Below the table.
        parts: Column of the lines at whose changes a rule is drawn.
        is_best: Says of a column's name and a line whether the cell is marked.
    """
    table = Table(title=title, title_justify="left", caption=note or None, caption_justify="left")
    for each in columns:
        table.add_column(
            each.heading or HEADINGS.get(each.name, each.name.replace("_", " ")),
            justify="right" if each.right else "left",
            no_wrap=each.whole,
            # Words that tell lines apart are shown to the end; half a number has to look like one.
            overflow="ellipsis" if each.whole else "fold",
            style=each.style,
        )
    before: object = None
    for line in lines.to_dict("records"):
        if parts and line[parts] != before:
            table.add_section()
            before = line[parts]
        cells = [(each.text(line), is_best(each.name, line)) for each in columns]
        table.add_row(*(Text(text, style="bold green" if best else "") for text, best in cells))
    return table


def summary(rows: pd.DataFrame, benchmark: str, metric_profile: str) -> pd.DataFrame:
    """Reduce result rows of one benchmark to what people look at first.

    Returns:
        One line for each row: name, the settings that differ between the lines, Fréchet
        distance, scores, seconds; generators first, best IoU on top, baselines last. The distance
        is the column ``fid``, or one column ``fid (PROTOCOL)`` for each protocol of several.
    """
    chosen = rows[(rows.benchmark == benchmark) & (rows.metric_profile == metric_profile)].copy()
    is_gan = chosen.method == "gan"
    chosen["name"] = chosen.generator.where(is_gan, method_names(chosen))
    chosen["seed"] = chosen.train_seed
    gans = chosen[is_gan]
    shown = [name for name in varying(gans, _SHOWN) if gans[name].nunique() > 1]
    shown += _telling_apart(gans, shown)
    seeds = [name for name in present(gans, SEEDS) if gans[name].nunique() > 1]
    # Where a trial has one seed for all stages, that is one column.
    alike = bool(seeds) and (gans[seeds].nunique(axis=1, dropna=False) == 1).all()
    shown += ["seed"] if alike else seeds
    chosen["seconds"] = chosen[list(_SECONDS)].sum(axis=1)
    columns = ["method", "name", *shown, *_split_distances(chosen), *_SCORES, "seconds"]
    return _ordered(chosen)[columns]


def method_names(rows: pd.DataFrame) -> "pd.Series[str]":
    """Say what people call the methods of result rows; those without a name keep their word."""
    named = rows["method"].map(lambda method: METHOD_NAMES.get(method, method))
    if "rule" not in rows:  # results of an older version
        return named
    # Away from the scenes it has to be said that it was trained on those.
    on_scenes = rows["benchmark"].str.startswith("scenes")
    said = on_scenes.map({True: "U-Net on masks by ", False: "U-Net on masks of scenes by "})
    return named.where(rows["method"] != "distilled", said + rows["rule"].map(RULES))


def _ordered(lines: pd.DataFrame) -> pd.DataFrame:
    """Put generators first and the best IoU on top."""
    lines = lines.assign(group=lines["method"] != "gan")
    return lines.sort_values(["group", "iou"], ascending=[True, False], ignore_index=True)


def _telling_apart(rows: pd.DataFrame, shown: list[str]) -> list[str]:
    """Find settings without which trials that differ in more than their seeds would look alike."""
    known = ["generator", *shown]
    # What is named by its parts comes after these: then they are shown, and it mostly is not.
    for name in sorted(present(rows, SETTINGS), key=lambda name: settings.says_nothing(rows, name)):
        if same_in(rows, [*known, name]).nunique() > same_in(rows, known).nunique():
            known.append(name)
    return known[1 + len(shown) :]


def _split_distances(rows: pd.DataFrame) -> list[str]:
    """Give every distance protocol a column of its own, if there are several."""
    protocols = rows.loc[rows.fid.notna(), "fid_protocol"].dropna().unique()
    if len(protocols) < 2:
        return ["fid"]
    for protocol in protocols:
        rows[f"fid ({protocol})"] = rows.fid.where(rows.fid_protocol == protocol)
    return [f"fid ({protocol})" for protocol in protocols]


def sweep_tables(
    rows: pd.DataFrame, benchmark: str, pictures: int, metric_profile: str
) -> list[Table]:
    """Lay out what a sweep prints of one benchmark, which has so many pictures.

    Returns:
        The table of all trials; and, if some differ in their seeds alone, that of their means.
    """
    lines = summary(rows, benchmark, metric_profile)
    means = seed_summary(lines)
    titled = {f"{benchmark}: {pictures:,} pictures, profile {metric_profile}": lines}
    if len(means) < len(lines):
        titled[f"{benchmark}: mean ± standard deviation over seeds"] = means
    return [summary_table(each, title) for title, each in titled.items()]


def masks_line(rows: pd.DataFrame, benchmark: str) -> str:
    """Say how many true masks of a benchmark are all background or all foreground; "" for none."""
    counts = rows.loc[rows.benchmark == benchmark, ["images", "degenerate_masks", "empty_masks"]]
    images, degenerate, empty = (int(number) for number in counts.fillna(0).max())
    told = {"background": empty, "foreground": degenerate - empty}
    kinds = [f"{count:,} all {kind}" for kind, count in told.items() if count]
    return f"{benchmark}: of {images:,} true masks {' and '.join(kinds)}" if kinds else ""


def seed_summary(lines: pd.DataFrame) -> pd.DataFrame:
    """Reduce lines that differ in their seeds alone to their mean.

    Returns:
        The columns of `summary` without seeds, with ``seeds`` (how many lines one stands for) and,
        for each score, ``<score>_sd``: the standard deviation over seeds (n - 1), empty for a
        single one.
    """
    numbers = [*_distances(lines), *_SCORES, "seconds"]
    keys = [name for name in lines.columns if name not in (*numbers, *SEEDS, "seed")]
    deviations = [f"{name}_sd" for name in _SCORES]
    found = settings.over_seeds(lines, numbers, keys)[[*keys, "seeds", *numbers, *deviations]]
    found = found.astype(dict.fromkeys([*numbers, *deviations], "float64"))
    return _ordered(found).drop(columns="group")


def summary_table(lines: pd.DataFrame, title: str) -> Table:
    """Lay out lines of `summary` or `seed_summary`.

    The best generator's value of each score is marked, and so is every generator whose IoU is
    below that of a baseline that learns nothing.
    """
    is_gan = lines["method"] == "gan"
    gans, to_beat = lines[is_gan], lines.loc[lines["method"].isin(RULES), "iou"].max()
    weak = is_gan & (lines["iou"] < to_beat)
    best = {name: gans[name].max() for name in _SCORES}
    best |= {name: gans[name].min() for name in _distances(lines)}
    shown = [name for name in lines.columns if name != "method" and not name.endswith("_sd")]
    shown = [name for name in shown if not name.startswith("fid") or lines[name].notna().any()]
    return terminal_table(
        title,
        [
            Column(
                name=name,
                heading=name.replace("fid", "distance", 1) if name.startswith("fid") else "",
                form=".2f" if name.startswith("fid") else _FORMS.get(name, ""),
                right=name != "name",
                whole=name in _WHOLE,
            )
            for name in shown
        ],
        lines.assign(name=lines["name"].where(~weak, lines["name"] + f" {_WEAK}"), gan=is_gan),
        note=f"{_WEAK} IoU below that of a baseline that learns nothing" if weak.any() else "",
        parts="gan",
        is_best=lambda name, line: line["gan"] and name in best and line[name] == best[name],
    )


def _distances(lines: pd.DataFrame) -> list[str]:
    return [name for name in lines.columns if name.startswith("fid")]

"""Which columns say what an experiment was, and means over its seeds."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from gseg.pipeline.settings import columns
from gseg.scores.specs import DEFAULT_PROFILES

# What a trial is, rather than how it is made.
_NAMED: Final = ("method", "recipe", "generator")
SETTINGS: Final = (
    *(name for name, each in columns().items() if not each.is_seed and name not in _NAMED),
    "supervision",
)
"""Columns that make experiments of one generator differ, besides the seeds."""
SEARCH: Final = tuple(
    name for name, each in columns().items() if each.path.startswith("search.") and not each.is_seed
)
"""Columns that a direction depends on, besides generator and seed."""
SEEDS: Final = tuple(name for name, each in columns().items() if each.is_seed)
# Of a benchmark's digest, where names do not tell sets apart.
_DIGITS: Final = 4
# Name of filters that are no preset's, see `gseg.samples.config.filter_preset_name`.
_OWN: Final = "custom"
SCORING: Final = ("benchmark", "eval_protocol", "metric_profile")
"""Columns that make scores of one experiment differ."""
SCORES: Final = ("accuracy", "iou", "f_beta", "max_f_beta")
HEADINGS: Final = {
    **{"name": "generator", "cosine": "v_l · v_d", "accuracy_sd": "± accuracy"},
    **{"iou": "IoU", "iou_sd": "± IoU", "iou_low": "IoU, low", "iou_high": "IoU, high"},
    **{"f_beta": "Fβ", "max_f_beta": "max Fβ"},
    **{"fid": "Fréchet distance", "fid_protocol": "distance protocol"},
    **{name: each.heading for name, each in columns().items() if each.heading},
}
"""Column name to what people read."""
DIGITS: Final = {name: each.digits for name, each in columns().items() if each.digits is not None}
"""Decimal places of settings; -1 for as many as needed."""


def named(*headings: str) -> tuple[str, ...]:
    """Give the columns of the settings that people read under these headings, such as λ."""
    found = {each.heading: name for name, each in columns().items()}
    return tuple(found[heading] for heading in headings)


def present(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Keep the names of columns that the rows have: older results lack newer ones."""
    return [name for name in names if name in rows.columns]


def varying(rows: pd.DataFrame, names: Sequence[str] = SETTINGS) -> list[str]:
    """Say in which settings the rows differ.

    Args:
        rows: Result rows.
        names: Columns to look at.

    Returns:
        Those with several values; an empty cell is one, too. The ε of the search is left out where
        it is always that of the samples, and a part of a setting (a rule of the filters) where the
        whole (their preset) tells it.
    """
    found = [name for name in present(rows, names) if rows[name].nunique(dropna=False) > 1]
    found = [name for name in found if not _is_told(rows, name, found)]
    if {"epsilon_sample", "epsilon_search"} <= {*found}:
        # One column says all where masks are made with the ε of the search.
        searched = rows["epsilon_search"]
        if (searched.isna() | (searched == rows["epsilon_sample"])).all():
            found.remove("epsilon_search")
    return found


def says_nothing(rows: pd.DataFrame, name: str) -> bool:
    """Whether a setting names what it is made of only as no preset's: its parts say more."""
    return bool((rows[name] == _OWN).any())


def _is_told(rows: pd.DataFrame, name: str, varying: Sequence[str]) -> bool:
    """Say whether a setting that this one is a part of tells its values."""
    settings = columns()
    if name not in settings:
        return False
    return any(
        whole in settings
        and not says_nothing(rows, whole)
        and settings[name].path.startswith(f"{settings[whole].path}.")
        and rows.groupby(whole, dropna=False)[name].nunique(dropna=False).max() <= 1
        for whole in varying
    )


def tell_sets_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a few digits of their digests to names of benchmarks that several sets have.

    Args:
        rows: Result rows. Those of an older version do not say which set they are of: they stand
            apart, as ``folder:test [?]``. Scenes of one name are the same in all versions.
    """
    if "benchmark_digest" not in rows:
        return rows
    names, digests = rows["benchmark"].astype("string"), rows["benchmark_digest"].astype("string")
    sets = digests.mask(digests.isna() & ~names.str.startswith("scenes"), "?")
    shared = sets.groupby(names).transform("nunique") > 1
    told = names + " [" + sets.str[:_DIGITS] + "]"
    return rows.assign(benchmark=names.mask(shared & sets.notna(), told).astype(object))


def main_profile(rows: pd.DataFrame) -> str:
    """Choose the metric profile that charts show: the project's first, if it is there."""
    there = list(rows["metric_profile"].dropna().unique())
    return next((name for name in DEFAULT_PROFILES if name in there), str(there[0]))


def same_in(rows: pd.DataFrame, names: Sequence[str]) -> "pd.Series[int]":
    """Number the rows' combinations of values.

    Args:
        rows: Result rows.
        names: Columns; empty cells are equal to each other.

    Returns:
        The same number for rows that agree in all these columns, counted from 0 in the rows' order.
    """
    # Not groupby().ngroup(): with twenty columns that takes pandas a hundred times as long.
    same = np.zeros(len(rows), dtype=np.int64)
    for name in names:
        codes, values = pd.factorize(rows[name], use_na_sentinel=False)
        if len(values) > 1:
            # Counted anew after each column: products of many counts leave 64 bits.
            same = pd.factorize(same * len(values) + codes)[0]
    return pd.Series(same, index=rows.index, name="same")


def over_seeds(
    rows: pd.DataFrame,
    values: Sequence[str] = SCORES,
    keys: Sequence[str] = ("method", "generator", *SETTINGS, *SCORING),
) -> pd.DataFrame:
    """Reduce trials that differ in nothing but their seeds to one line.

    Args:
        rows: Result rows.
        values: Number columns to average.
        keys: Columns in which trials may differ besides.

    Returns:
        The key columns; each value's mean; for each value ``<value>_sd``, the deviation over seeds
        (n - 1), empty for one seed; and ``seeds``, n.
    """
    keys, chosen = present(rows, keys), present(rows, values)
    same = same_in(rows, keys)
    groups = rows[chosen].astype("Float64").groupby(same, sort=False)
    parts = (
        # Numbered in order of appearance: so are the first rows of each combination.
        rows[keys][~same.duplicated()],
        *(groups.mean(), groups.std().add_suffix("_sd"), groups.size().rename("seeds")),
    )
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def setting_text(line: "pd.Series[Any]", names: Sequence[str]) -> str:
    """Write settings in words, such as ``λ 5, samples 4,000``."""
    parts = []
    for name in names:
        value = line[name]
        kind = "," if name == "data_size" else "g" if isinstance(value, float) else ""
        if pd.notna(value):
            parts.append(f"{HEADINGS.get(name, name.replace('_', ' '))} {value:{kind}}")
    return ", ".join(parts)


def short_names(generators: Iterable[str]) -> dict[str, str]:
    """Shorten generators' names for labels in charts.

    Args:
        generators: Catalogue names.

    Returns:
        Each one's family and size without the data set, such as ``sngan-large``; the whole name
        where two would be called alike.
    """
    short = {name: re.sub(r"\.[^-]*", "", name, count=1) for name in generators}
    counts = Counter(short.values())
    return {name: each if counts[each] == 1 else name for name, each in short.items()}

"""Read the papers' tables: one line for each printed number.

The readable source lies beside this file: ``tables/<paper>_<table>.csv`` in the paper's own form,
and ``tables/tables.toml`` with what holds for whole tables and which cells are suspect.
"""

import csv
import io
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import pandas as pd

_UNREADABLE: Final = "?"
_TEXT: Final = "string"

PUBLISHED_COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "paper": (_TEXT, "melas2022 or voynov2021."),
    "table": (_TEXT, "The table's number, or the section that states the value."),
    "title": (_TEXT, "What the table is about."),
    "row": (_TEXT, "The row's label."),
    "method": (_TEXT, "Melas 2022, Voynov 2021, or another method's name or kind."),
    "generator": (_TEXT, "Catalogue name; empty where there is none."),
    "benchmark": (_TEXT, "What was scored; empty for values that are no scores."),
    "metric": (_TEXT, "accuracy, iou, f_beta (at 0.5), max_f_beta, miou, cosine, fid, ..."),
    "statistic": (_TEXT, "mean, or standard deviation over repetitions."),
    "value": ("float64", "As printed."),
    "unit": (_TEXT, "fraction, percent, cosine or distance."),
    "contrast_weight": ("Float64", "λ."),
    "epsilon": ("Float64", "ε."),
    "mask_kind": (_TEXT, "lighter, darker, both or ensemble."),
    "centre_prior": ("boolean", "Whether the loss expects the foreground in the centre."),
    "latent_source": (_TEXT, "prior, or embeddings of real pictures."),
    "alpha": ("Float64", "α, noise around embeddings."),
    "filters": (_TEXT, "Filters on generated samples, where a table varies them."),
    "data_size": ("Int64", "Generated pictures."),
    "real_images": ("Int64", "Real pictures with true masks in the training."),
    "train_resolution": ("Int64", "Side of the training pictures in pixels."),
    "train_steps": ("Int64", "Updates of the segmenter."),
    "origin": (
        _TEXT,
        "own: measured by the paper's authors with their method; quoted: from another paper; "
        "reimplemented: another method, run by the paper's authors.",
    ),
    "suspect": ("bool", "Whether another printed number contradicts this one."),
    "note": (_TEXT, "Why it is suspect, and what else is to be known."),
}
"""Column name to (type, meaning)."""

_SETTINGS: Final = (
    "contrast_weight",
    "epsilon",
    "mask_kind",
    "centre_prior",
    "latent_source",
    "alpha",
    "filters",
    "data_size",
    "real_images",
    "train_resolution",
    "train_steps",
)
_METHODS: Final = {"melas2022": "Melas 2022", "voynov2021": "Voynov 2021"}


def published_tables() -> pd.DataFrame:
    """Give all readable numbers of both papers' tables.

    Returns:
        `PUBLISHED_COLUMNS`, one line for each number, in the papers' order.
    """
    cells = [cell for cell in _all_cells() if cell["value"] is not None]
    table = pd.DataFrame(cells, columns=list(PUBLISHED_COLUMNS))
    return table.astype({name: kind for name, (kind, _) in PUBLISHED_COLUMNS.items()})


def unreadable_cells() -> pd.DataFrame:
    """List the cells whose number the paper's extracted text has damaged.

    Returns:
        Columns ``paper``, ``table``, ``row``, ``benchmark``, ``metric``.
    """
    names = ["paper", "table", "row", "benchmark", "metric"]
    cells = [cell for cell in _all_cells() if cell["value"] is None]
    return pd.DataFrame(cells, columns=list(PUBLISHED_COLUMNS))[names]


def _all_cells() -> Iterator[dict[str, Any]]:
    about = _about()
    for name, table in about["tables"].items():
        suspects = [each for each in about["suspect"] if each["table"] == name]
        paper, _, number = name.partition("_")
        common = {
            "paper": paper,
            "table": _table_label(number),
            "title": table["title"],
            "method": _METHODS[paper],
            "statistic": "mean",
            "unit": table.get("unit", "fraction"),
            "origin": "own",
            **table.get("settings", {}),
        }
        text = (files(__package__) / "tables" / f"{name}.csv").read_text(encoding="utf-8")
        for line in csv.DictReader(io.StringIO(text)):
            yield from _row_cells(line, common, table.get("note", ""), suspects)


def _row_cells(
    line: Mapping[str, str],
    common: Mapping[str, Any],
    note: str,
    suspects: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    own: dict[str, Any] = {
        name: float(value) if name in _SETTINGS and _is_number(value) else value
        for name, value in line.items()
        if "/" not in name and value
    }
    for column, printed in line.items():
        if "/" not in column or not printed:
            continue
        benchmark, _, metric = column.partition("/")
        reasons = [each["note"] for each in suspects if _concerns(each, line["row"], column)]
        bound = ["Printed as an upper bound."] if printed.startswith("<") else []
        number = None if printed == _UNREADABLE else float(printed.lstrip("<"))
        yield {
            **common,
            **own,
            "benchmark": benchmark or None,
            "metric": metric,
            "value": number,
            "suspect": bool(reasons),
            "note": " ".join([*reasons, *bound, *([note] if note else [])]) or None,
        }


def _concerns(suspect: Mapping[str, Any], row: str, column: str) -> bool:
    return row in suspect.get("rows", [row]) and column in suspect.get("columns", [column])


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _table_label(number: str) -> str:
    """Turn a file's suffix into what the paper says: ``4-3`` is section 4.3, ``a3`` is A.3."""
    if number.isdigit():
        return number
    return f"section {number.replace('-', '.').replace('a', 'A.')}"


@cache
def _about() -> dict[str, Any]:
    text = (files(__package__) / "tables" / "tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gseg.storage.files import replacing

if TYPE_CHECKING:
    import pandas as pd

_UNREADABLE: Final = "?"
_TEXT: Final = "string"

_METHODS: Final = {"melas2022": "Melas 2022", "voynov2021": "Voynov 2021"}


def published_columns() -> dict[str, tuple[str, str]]:
    """Give type and meaning of each column of `published_tables`."""
    return {name: (kind, meaning) for name, (kind, meaning) in _about()["columns"].items()}


def published_tables() -> "pd.DataFrame":
    """Give all readable numbers of both papers' tables.

    Returns:
        `published_columns`, one line for each number, in the papers' order.
    """
    import pandas as pd

    cells = [cell for cell in _all_cells() if cell["value"] is not None]
    columns = published_columns()
    table = pd.DataFrame(cells, columns=list(columns))
    return table.astype({name: kind for name, (kind, _) in columns.items()})


def unreadable_cells() -> "pd.DataFrame":
    """List the cells whose number the paper's extracted text has damaged.

    Returns:
        Columns ``paper``, ``table``, ``row``, ``benchmark``, ``metric``.
    """
    import pandas as pd

    names = ["paper", "table", "row", "benchmark", "metric"]
    cells = [cell for cell in _all_cells() if cell["value"] is None]
    return pd.DataFrame(cells, columns=list(published_columns()))[names]


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
    kinds = published_columns()
    own: dict[str, Any] = {
        name: float(value) if kinds[name][0] != _TEXT and _is_number(value) else value
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


def write_published(folder: Path) -> Path:
    """Write all published numbers as one Parquet file; the same numbers give the same rows.

    Args:
        folder: Such as ``results/published``; made if missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "tables.parquet"
    with replacing(path) as part:
        table = pa.Table.from_pandas(published_tables(), preserve_index=False)
        pq.write_table(table, part, compression="zstd")
    return path

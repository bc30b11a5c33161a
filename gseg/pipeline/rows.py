"""Result rows: one for each (experiment, benchmark, metric profile), as Parquet.

The columns, their types and their meaning are written down here and, for settings, in
`gseg.pipeline.settings`; ``results/README.md`` repeats them and a test keeps the two together.
"""

import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gseg.downloads import check_rows, why_unreadable
from gseg.pipeline.settings import columns as setting_columns
from gseg.storage.damage import DamagedError, is_damage, put_aside
from gseg.storage.files import replacing
from gseg.storage.leases import lease

Row = dict[str, Any]
Key = tuple[str, ...]

KEY: Final = ("experiment", "benchmark", "benchmark_digest", "eval_protocol", "metric_profile")
"""Columns that together tell a row from all others."""
# What rows of before have of it: they do not say which set of a name they are of.
_OLDER_KEY: Final = tuple(name for name in KEY if name != "benchmark_digest")
# Columns of all versions.
_ALWAYS: Final = ("experiment", "benchmark", "metric_profile")
# Without these nobody knows what a row is about.
_NEEDED: Final = (*_OLDER_KEY, "method")
_FILE: Final = "rows.parquet"
_POLL_SECONDS: Final = 0.02

_ORDER: Final = ("benchmark", "metric_profile", "method", "generator", "data_size", *KEY)
_NULLABLE: Final = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}

_TYPES: Final = {
    "word": pa.string(),
    "number": pa.float64(),
    "count": pa.int64(),
    "flag": pa.bool_(),
}


def _columns() -> dict[str, tuple[pa.DataType, str]]:
    told = tomllib.loads((files(__package__) / "columns.toml").read_text(encoding="utf-8"))
    # Docstrings write literals in two backquotes, the README in Markdown's one.
    settings = {
        name: (each.kind, each.meaning.replace("``", "`"))
        for name, each in setting_columns().items()
    }
    ordered = {**told["key"], **settings, **told["result"]}
    return {name: (_TYPES[kind], meaning) for name, (kind, meaning) in ordered.items()}


COLUMNS: Final = _columns()
"""Column name to (type, meaning)."""

SCHEMA: Final = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


def make_row(values: Mapping[str, Any]) -> Row:
    """Complete a row.

    Args:
        values: Some of the columns.

    Returns:
        All columns in order; what is not known is None.

    Raises:
        ValueError: A name is no column.
    """
    unknown = sorted(set(values) - set(COLUMNS))
    if unknown:
        raise ValueError(f"Not a column of the results: {', '.join(unknown)}.")
    row = {name: values.get(name) for name in COLUMNS}
    row["finished"] = row["finished"] or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return row


def key_of(row: Row) -> Key:
    """Give a row's values of the columns `KEY`."""
    return tuple(row[name] for name in KEY)


def read_rows(folder: Path) -> list[Row]:
    """Read all rows of a results folder.

    Args:
        folder: Such as ``results/all_gans``; may be absent.

    Returns:
        The rows, with None where an older file lacks a column.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    rows: list[Row] = _read(folder).to_pylist()
    return rows


def results(path: str | Path) -> pd.DataFrame:
    """Read a results folder into a table: one line for each row, one column for each of `COLUMNS`.

    Args:
        path: The folder, such as ``results/all_gans``.

    Returns:
        Sorted by benchmark, profile, method, generator and data size. Counts and flags stay whole
        numbers and booleans where some are missing; ``finished`` is a time in UTC.

    Raises:
        ValueError: There are no rows, the file is damaged, or a generator's name stands for two
            sets of weights; the message says where.
    """
    folder = Path(path)
    if not (folder / _FILE).is_file():
        below = ", ".join(str(file.parent) for file in sorted(folder.glob(f"*/{_FILE}")))
        hint = f"did you mean {below}?" if below else "a sweep writes them to results/<its name>."
        raise ValueError(f"{folder} has no rows ({_FILE}); {hint}")
    rows = _read(folder)
    if not rows.num_rows:
        raise ValueError(f"{folder / _FILE} holds no rows: a sweep writes them when trials end.")
    unnamed = [name for name in _NEEDED if rows[name].null_count]
    if unnamed:
        raise ValueError(
            f"{folder / _FILE} has rows without {' and '.join(unnamed)}, which tell what a row is "
            "about: move the file away, and run the sweep again; it writes them from its storage."
        )
    _refuse_mixture(folder, _weights_of(rows))
    table: pd.DataFrame = rows.to_pandas(types_mapper=_NULLABLE.get)
    try:
        table["finished"] = pd.to_datetime(table["finished"], utc=True, format="ISO8601")
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{folder / _FILE} has no times in 'finished': {reason}") from error
    return table.sort_values(list(_ORDER), ignore_index=True)


def known_scores(folder: Path) -> dict[Key, str]:
    """Say which scores a results folder has rows of.

    Args:
        folder: Such as ``results/all_gans``; may be absent.

    Returns:
        The column ``scores`` by the rows' keys.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    table = _read(folder).select([*KEY, "scores"])
    return {key_of(row): row["scores"] for row in table.to_pylist()}


def check_weights(folder: Path, weights: Mapping[str, str]) -> None:
    """Make sure that no generator's name comes to mean two things in a results folder.

    Args:
        folder: Such as ``results/all_gans``; may be absent.
        weights: Hash of each generator's weights that rows are to be added of, by its name.

    Raises:
        ValueError: There are rows of other weights; the message names the generators.
    """
    try:
        there = _weights_of(_read(folder))
    except DamagedError:  # is told by `heal_rows`, and put aside before there are other rows
        return
    _refuse_mixture(folder, [*there, *weights.items()])


def _weights_of(table: pa.Table) -> list[tuple[str, str]]:
    """List the generators with their weights; rows of before may not say which."""
    pairs = table.select(["generator", "weights"]).group_by(["generator", "weights"])
    found = (tuple(each.values()) for each in pairs.aggregate([]).to_pylist())
    return [(name, weights) for name, weights in found if name and weights]


def _refuse_mixture(folder: Path, weights: Iterable[tuple[str, str]]) -> None:
    names = Counter(name for name, _ in set(weights))
    if several := sorted(name for name, count in names.items() if count > 1):
        more = f" and {len(several) - 1} more" if len(several) > 1 else ""
        raise ValueError(
            f"{folder} has rows of other weights that are called {several[0]}{more}, too: an "
            "earlier version's, or those of before a file changed. Tables would take them for the "
            "same. Move the folder away, or name another one (--results)."
        )


def heal_rows(folder: Path, *, read_only: bool = False) -> None:
    """Put a results folder's file aside if it is damaged: rows are written anew from the storage.

    Args:
        folder: Such as ``results/all_gans``; may be absent.
        read_only: Note the damage alone.
    """
    try:
        _read(folder)
    except DamagedError as error:
        put_aside(folder / _FILE, error, read_only=read_only)


def merge_rows(folder: Path, rows: Iterable[Row]) -> int:
    """Add rows to a results folder; a row with the same key replaces the older one.

    So does any row of its name replace one of an older version, which does not say of which set
    of pictures it is: what was scored then is scored again, or is the same.

    The folder holds one Parquet file, replaced in one step: a reader sees the rows before or
    after, and the file never contains a row twice. Of several processes that add rows one at a
    time does so, so that none overwrites what another has added.

    Args:
        folder: Such as ``results/all_gans``; made if missing.
        rows: From `make_row`.

    Returns:
        How many rows the folder holds now.

    Raises:
        ValueError: The file that is there is damaged; the message names it.
    """
    fresh = pa.Table.from_pylist(list({key_of(row): row for row in rows}.values()), schema=SCHEMA)
    with writing_to(folder):
        old = _read(folder)
        # In Arrow, not row by row: a large sweep merges its rows after every trial.
        replaced = pc.is_in(_joined(old, KEY), value_set=_joined(fresh, KEY))
        named = pc.is_in(_joined(old, _OLDER_KEY), value_set=_joined(fresh, _OLDER_KEY))
        replaced = pc.or_(replaced, pc.and_(named, pc.is_null(old["benchmark_digest"])))
        merged = pa.concat_tables([old.filter(pc.invert(replaced)), fresh])
        _write(folder, merged)
    return int(merged.num_rows)


def fill_rows(folder: Path, rows: Iterable[Row]) -> None:
    """Fill the columns that an older version's file lacks; all else stays as it is.

    Args:
        folder: Such as ``results/all_gans``; may be absent.
        rows: As they are found today, by which rows of the same scores are filled.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    if not (folder / _FILE).exists() or not _lacking(folder):
        return
    # By the scores, too: of rows of before, the key does not say which set they are of.
    same = (*_OLDER_KEY, "scores")
    found = {tuple(row[name] for name in same): row for row in rows}
    with writing_to(folder):
        # Once more, as another process may have filled it before this one got the lease.
        lacking, old = _lacking(folder), _read(folder).to_pylist()
        for row in old:
            today = found.get(tuple(row[name] for name in same), row)
            row |= {name: today[name] for name in lacking}
        _write(folder, pa.Table.from_pylist(old, schema=SCHEMA))


def _lacking(folder: Path) -> list[str]:
    there = set(pq.read_schema(folder / _FILE).names)
    return [name for name in COLUMNS if name not in there]


def _write(folder: Path, table: pa.Table) -> None:
    with replacing(folder / _FILE) as part:
        # Sorted, so that the same rows are the same file, whichever trial was first.
        ordered = table.sort_by([(name, "ascending") for name in KEY])
        pq.write_table(ordered, part, compression="zstd", write_page_checksum=True)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Be the only process that writes to a results folder; the lease is kept beside it.

    Args:
        folder: Such as ``results/all_gans``.

    Yields:
        Nothing.
    """
    with lease(folder.with_name(f".{folder.name}.lock"), poll=_POLL_SECONDS):
        yield


def _read(folder: Path) -> pa.Table:
    """Read all columns, so that any damage is seen; those that an older file lacks are empty."""
    path = folder / _FILE
    if not path.exists():
        return SCHEMA.empty_table()
    try:
        metadata = pq.read_metadata(path)
        check_rows(path, metadata)
        there = set(metadata.schema.to_arrow_schema().names)
        if lacking := [name for name in _ALWAYS if name not in there]:
            raise OSError(f"it has no column {lacking[0]}.")
        wanted = [name for name in COLUMNS if name in there]
        table = pq.read_table(path, columns=wanted, page_checksum_verification=True)
        columns = [
            table[name].cast(kind) if name in there else pa.nulls(table.num_rows, kind)
            for name, (kind, _) in COLUMNS.items()
        ]
    except (pa.ArrowException, OSError) as error:
        if not is_damage(error):
            raise
        raise DamagedError(
            f"Cannot read the results in {path}: {why_unreadable(path, error)}. The sweep's next "
            "run puts the file aside, and writes the rows of everything that is in its storage "
            "again."
        ) from error
    return pa.table(columns, schema=SCHEMA)


def _joined(table: pa.Table, names: Iterable[str]) -> pa.ChunkedArray:
    columns = (table[name] for name in names)
    # A line's end stands in no name; older files may lack a key's column.
    return pc.binary_join_element_wise(*columns, "\n", null_handling="replace")

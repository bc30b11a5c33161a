"""Result rows: one for each (experiment, benchmark, metric profile), as Parquet.

The columns, their types and their meaning are written down here and, for settings, in
`gseg.pipeline.settings`; ``results/README.md`` repeats them and a test keeps the two together.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gseg.pipeline.settings import columns as setting_columns
from gseg.storage.files import replacing
from gseg.storage.leases import lease

Row = dict[str, Any]
Key = tuple[str, ...]

KEY: Final = ("experiment", "benchmark", "eval_protocol", "metric_profile")
"""Columns that together tell a row from all others."""
_FILE: Final = "rows.parquet"
_POLL_SECONDS: Final = 0.02

_ORDER: Final = ("benchmark", "metric_profile", "method", "generator", "data_size", *KEY)
_NULLABLE: Final = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}

_TEXT, _NUMBER, _COUNT, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_TYPES: Final = {"word": _TEXT, "number": _NUMBER, "count": _COUNT, "flag": _FLAG}

COLUMNS: Final[dict[str, tuple[pa.DataType, str]]] = {
    "experiment": (_TEXT, "Hash of everything that decides the trained segmenter."),
    "benchmark": (_TEXT, "What the segmenter was scored on."),
    "metric_profile": (_TEXT, "Which source's definition of the metrics."),
    **{
        name: (_TYPES[each.kind], each.meaning.replace("``", "`"))
        for name, each in setting_columns().items()
    },
    "family": (_TEXT, "Generator's family, such as SNGAN."),
    "dataset": (_TEXT, "What the generator was trained on."),
    "resolution": (_COUNT, "Side of the generated pictures in pixels."),
    "supervision": (
        _TEXT,
        "none; class labels (in the GAN's training); labels used in a search; another model's "
        "masks; or true masks.",
    ),
    "eval_protocol": (_TEXT, "How pictures are brought to size and where they are scored."),
    "accuracy": (_NUMBER, "Share of pixels that are right, mean over pictures."),
    "iou": (_NUMBER, "Intersection over union of the foreground, mean over pictures."),
    "f_beta": (_NUMBER, "Fβ at threshold 0.5, β² = 0.3."),
    "max_f_beta": (_NUMBER, "Largest Fβ over all thresholds, β² = 0.3."),
    "mean_f_beta": (_NUMBER, "Mean of the same curve of Fβ over all thresholds."),
    "mae": (_NUMBER, "Mean absolute error of the probabilities, mean over pictures."),
    "accuracy_low": (_NUMBER, "Lower limit of the 95 % interval of accuracy, see below."),
    "accuracy_high": (_NUMBER, "Upper limit."),
    **{
        f"{score}_{side}": (_NUMBER, text)
        for score in ("iou", "f_beta", "max_f_beta", "mae")
        for side, text in (
            ("low", f"Lower limit of the 95 % interval of {score}."),
            ("high", "Upper limit."),
        )
    },
    "images": (_COUNT, "Pictures that were scored."),
    "skipped": (_COUNT, "Files of the benchmark that could not be read (with --skip-bad)."),
    "degenerate_masks": (_COUNT, "Pictures whose true mask is all foreground or all background."),
    "empty_masks": (_COUNT, "Of those, pictures whose true mask is all background."),
    "edge_loss": (_NUMBER, "Edge loss at the end of the search, lighter direction."),
    "contrast_loss": (_NUMBER, "Contrast loss at the end of the search, lighter direction."),
    "cosine": (_NUMBER, "v_l · v_d."),
    "two_affine_ratio": (
        _NUMBER,
        "Restoration loss of two affine colour maps over that of one (Voynov et al. 2021, Eq. 3); "
        "small when the shift treats two regions differently. Uses no labels.",
    ),
    "restoration_loss": (
        _NUMBER,
        "Mean distance of colours that two affine maps leave (Voynov et al. 2021, Eq. 3).",
    ),
    "operator_distance": (
        _NUMBER,
        "D, how far the two maps part the colours of pictures (section 3.2 there).",
    ),
    "labeller_iou": (
        _NUMBER,
        "IoU of the labeller's masks and the samples' own, mean over samples with a foreground.",
    ),
    "labeller_accuracy": (_NUMBER, "Share of pixels in which the two agree."),
    "foreground_share": (_NUMBER, "Mean share of foreground in the training masks."),
    "validation_iou": (_NUMBER, "IoU on held-out generated pairs: a score without labels."),
    "validation_loss": (_NUMBER, "Cross-entropy of a pixel of held-out generated pairs."),
    "fid": (_NUMBER, "Fréchet distance of generated and real pictures under fid_protocol."),
    "fid_protocol": (_TEXT, "Features, numbers of pictures and reference of that distance."),
    "kid": (_NUMBER, "Kernel distance of the same pictures, mean over subsets (about 0 at best)."),
    "kid_deviation": (_NUMBER, "Standard deviation of kid over its subsets, if there are any."),
    "kid_protocol": (_TEXT, "Features, kernel and subsets of that distance."),
    "published_fid": (_NUMBER, "FID as published for this checkpoint."),
    "published_fid_protocol": (_TEXT, "How and by whom that FID was measured."),
    "candidates": (_COUNT, "Pictures drawn to get data_size samples."),
    "accepted": (_COUNT, "Of those, accepted."),
    "rejected_histogram": (_COUNT, "Of those, rejected for their histogram."),
    "rejected_contrast": (_COUNT, "Of those, rejected for a small change of brightness."),
    "rejected_empty": (_COUNT, "Of those, rejected for a mask without foreground."),
    "rejected_components": (_COUNT, "Of those, rejected for the shape of their components."),
    "rejected_area": (_COUNT, "Of those, rejected for their share of foreground."),
    "rejected_agreement": (_COUNT, "Of those, rejected since two directions' masks disagree."),
    "direction_seconds": (
        _NUMBER,
        "Time that finding the direction took, whenever that was, with its candidates.",
    ),
    "samples_seconds": (_NUMBER, "Time that drawing the samples took."),
    "samples_forwards": (
        _NUMBER,
        "Pictures that the generator made for the samples; what several sample sets shared counts "
        "for each in equal parts.",
    ),
    "training_seconds": (_NUMBER, "Time that training took."),
    "scoring_seconds": (_NUMBER, "Time that scoring took."),
    "fid_seconds": (_NUMBER, "Time that the Fréchet distance took."),
    "direction_reused": (_FLAG, "Whether the direction was found in the storage."),
    "samples_reused": (_FLAG, "Whether all samples were found in the storage."),
    "training_reused": (_FLAG, "Whether the segmenter was found in the storage."),
    "scoring_reused": (_FLAG, "Whether the scores were found in the storage."),
    "fid_reused": (_FLAG, "Whether the distance was found in the storage."),
    "device": (_TEXT, "Kind of device that the segmenter was trained on."),
    "peak_memory_mib": (_NUMBER, "Largest memory of the process, or of its GPU, in MiB."),
    "gseg_version": (_TEXT, "Version of gseg."),
    "python_version": (_TEXT, "Version of Python."),
    "torch_version": (_TEXT, "Version of PyTorch."),
    "ray_version": (_TEXT, "Version of Ray."),
    "commit": (_TEXT, "Commit of the source tree, if it is a repository."),
    "scores": (_TEXT, "Hash of the scores in the storage; its folder has every picture's."),
    "finished": (_TEXT, "When the row was made, UTC."),
}
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
    rows: list[Row] = _read(folder, list(COLUMNS)).to_pylist()
    return rows


def results(path: str | Path) -> pd.DataFrame:
    """Read a results folder into a table: one line for each row, one column for each of `COLUMNS`.

    Args:
        path: The folder, such as ``results/all_gans``.

    Returns:
        Sorted by benchmark, profile, method, generator and data size. Counts and flags stay whole
        numbers and booleans where some are missing; ``finished`` is a time in UTC.

    Raises:
        ValueError: There are no rows, or the file is damaged; the message says where.
    """
    folder = Path(path)
    if not (folder / _FILE).is_file():
        below = ", ".join(str(file.parent) for file in sorted(folder.glob(f"*/{_FILE}")))
        hint = f"did you mean {below}?" if below else "a sweep writes them to results/<its name>."
        raise ValueError(f"{folder} has no rows ({_FILE}); {hint}")
    rows = _read(folder, list(COLUMNS))
    table: pd.DataFrame = rows.to_pandas(types_mapper=_NULLABLE.get)
    table["finished"] = pd.to_datetime(table["finished"], utc=True)
    return table.sort_values(list(_ORDER), ignore_index=True)


def known_scores(folder: Path) -> dict[Key, str]:
    """Say which scores a results folder has rows of, without reading the rows whole.

    Args:
        folder: Such as ``results/all_gans``; may be absent.

    Returns:
        The column ``scores`` by the rows' keys.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    table = _read(folder, [*KEY, "scores"])
    return {key_of(row): row["scores"] for row in table.to_pylist()}


def merge_rows(folder: Path, rows: Iterable[Row]) -> int:
    """Add rows to a results folder; a row with the same key replaces the older one.

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
        old = _read(folder, list(COLUMNS))
        replaced = pc.is_in(_joined_key(old), value_set=_joined_key(fresh))
        merged = pa.concat_tables([old.filter(pc.invert(replaced)), fresh])
        _write(folder, merged)
    return int(merged.num_rows)


def fill_rows(folder: Path, rows: Iterable[Row]) -> None:
    """Fill the columns that an older version's file lacks; all else stays as it is.

    Args:
        folder: Such as ``results/all_gans``; may be absent.
        rows: As they are found today, by which rows with the same keys are filled.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    if not (folder / _FILE).exists() or not _lacking(folder):
        return
    found = {key_of(row): row for row in rows}
    with writing_to(folder):
        lacking, old = _lacking(folder), _read(folder, list(COLUMNS)).to_pylist()
        for row in old:
            today = found.get(key_of(row), row)
            row |= {name: today[name] for name in lacking}
        _write(folder, pa.Table.from_pylist(old, schema=SCHEMA))


def _lacking(folder: Path) -> list[str]:
    there = set(pq.read_schema(folder / _FILE).names)
    return [name for name in COLUMNS if name not in there]


def _write(folder: Path, table: pa.Table) -> None:
    with replacing(folder / _FILE) as part:
        ordered = table.sort_by([(name, "ascending") for name in KEY])
        pq.write_table(ordered, part, compression="zstd")


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


def _read(folder: Path, names: list[str]) -> pa.Table:
    """Read some columns; those that an older file lacks are empty."""
    path = folder / _FILE
    schema = pa.schema([SCHEMA.field(name) for name in names])
    if not path.exists():
        return schema.empty_table()
    try:
        there = set(pq.read_schema(path).names)
        table = pq.read_table(path, columns=[name for name in names if name in there])
        columns = [
            table[name].cast(kind) if name in there else pa.nulls(table.num_rows, kind)
            for name, kind in zip(schema.names, schema.types, strict=True)
        ]
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"Cannot read the results in {path}: {str(error).splitlines()[0]} Move the file away: "
            "the next run writes the rows of everything that is in its storage again."
        ) from error
    return pa.table(columns, schema=schema)


def _joined_key(table: pa.Table) -> pa.ChunkedArray:
    columns = (table[name] for name in KEY)
    return pc.binary_join_element_wise(*columns, "\n", null_handling="replace")

"""Samples at rest: shards, one Parquet file each.

A shard covers a fixed range of candidates and holds those that were accepted: their numbers,
labels, pictures (see `gseg.samples.encoding`), masks as packed bits, row by row, and what the
filters measured. With pandas:

    row = pandas.read_parquet("shard-000000.parquet").iloc[0]
    Image.fromarray(numpy.frombuffer(row.picture, "uint8").reshape(32, 32, 3)).show()

and the mask is ``numpy.unpackbits(numpy.frombuffer(row["mask"], "uint8"))[: 32 * 32]``. The
resolution and the counts of rejections stand in the schema's metadata, as JSON.

Every page of data carries a checksum, and so does the JSON: a file that was cut off, or in which
a bit has flipped, is found out when it is read and never taken for samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gseg.samples.encoding import (
    PictureFormat,
    as_stored,
    from_binary,
    from_column,
    to_binary,
    to_column,
)
from gseg.samples.headers import UNREADABLE, DamagedShardError, damaged, read_header, write_header
from gseg.storage.files import replacing
from gseg.storage.mirror import fetch

__all__ = ["DamagedShardError", "Shard", "shard_name"]

_FIXED_COLUMNS: Final = ("index", "label", "picture", "mask")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shard:
    """The accepted samples of one range of candidates.

    Attributes:
        number: Its place among the shards, from 0.
        indices: (n,) int64, the candidates' numbers, ascending.
        labels: (n,) int64 class labels, or None if the generator ignores them.
        pictures: (n, 3, R, R) uint8.
        masks: (n, R, R) bool, True is foreground.
        statistics: (n,) float32 or int64 each, measured while filtering.
        counts: ``candidates``, ``accepted``, and rejections by reason in the order of
            `gseg.samples.filters.REASONS`.
        provenance: What made it, as JSON values: generator and config.
        picture_format: How pictures are stored.
    """

    number: int
    indices: Tensor
    labels: Tensor | None
    pictures: Tensor
    masks: Tensor
    statistics: Mapping[str, Tensor]
    counts: Mapping[str, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    picture_format: PictureFormat = "exact"

    def __len__(self) -> int:
        return len(self.indices)

    def as_stored(self) -> "Shard":
        """Give what `load` will read after `save`: the same, except for pictures kept as JPEG."""
        return replace(self, pictures=as_stored(self.pictures, self.picture_format))

    def save(self, path: Path) -> None:
        """Write one Parquet file, whole or not at all.

        Args:
            path: Its name, see `shard_name`.
        """
        with replacing(Path(path)) as part:
            pq.write_table(
                _to_table(self),
                part,
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=["index"],
                write_page_checksum=True,
            )

    @classmethod
    def load(cls, path: Path) -> "Shard":
        """Read what `save` wrote.

        Args:
            path: The file; it is fetched first if it is on an object store.

        Returns:
            The shard, on the CPU.

        Raises:
            DamagedShardError: The file is truncated, altered, no shard, or lacks rows.
            FileNotFoundError: There is no such file.
        """
        fetch(path)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                header = read_header(file.schema_arrow)
                return _from_table(file.read(use_threads=False), header)
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            raise damaged(path, error) from error


def shard_name(number: int) -> str:
    """Name a shard's file so that names sort as numbers do."""
    return f"shard-{number:06d}.parquet"


def _to_table(shard: Shard) -> pa.Table:
    count, _, height, width = shard.pictures.shape
    bits = np.packbits(shard.masks.numpy().reshape(count, height * width), axis=1)
    table = pa.table(
        {
            "index": pa.array(shard.indices.numpy()),
            "label": pa.nulls(count, pa.int64()) if shard.labels is None else shard.labels.numpy(),
            "picture": to_column(shard.pictures, shard.picture_format),
            "mask": to_binary(bits),
            **{name: values.numpy() for name, values in shard.statistics.items()},
        }
    )
    return write_header(
        table,
        {
            "rows": count,
            "number": shard.number,
            "resolution": height,
            "labelled": shard.labels is not None,
            "picture_format": shard.picture_format,
            "counts": dict(shard.counts),
            "provenance": dict(shard.provenance),
        },
    )


def _from_table(table: pa.Table, header: Mapping[str, Any]) -> Shard:
    count, side = table.num_rows, header["resolution"]
    if count != header["rows"]:
        raise ValueError(f"it has {count} rows, expected {header['rows']}")
    bits = from_binary(table["mask"]).reshape(count, math.ceil(side * side / 8))
    masks = np.unpackbits(bits, axis=1, count=side * side).reshape(count, side, side)
    return Shard(
        number=header["number"],
        indices=_to_tensor(table["index"]),
        labels=_to_tensor(table["label"]) if header["labelled"] else None,
        pictures=from_column(table["picture"], side, header["picture_format"]),
        masks=torch.from_numpy(masks.view(np.bool_)),
        statistics={
            name: _to_tensor(table[name])
            for name in table.column_names
            if name not in _FIXED_COLUMNS
        },
        counts=header["counts"],
        provenance=header["provenance"],
        picture_format=header["picture_format"],
    )


def _to_tensor(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().copy())

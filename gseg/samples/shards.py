"""Samples at rest: shards, one Parquet file each.

A shard covers a fixed range of candidates and holds those that were accepted.

A picture is stored as its raw bytes (height, width, channel), the column compressed with zstd,
not as PNG: that is lossless as well, but at 128 px encoding and decoding it take ten times as
long, longer than a fast generator needs for the picture, and it saves a quarter to a third of the
space. A mask is stored as packed bits, row by row. With pandas:

    row = pandas.read_parquet("shard-000000.parquet").iloc[0]
    Image.fromarray(numpy.frombuffer(row.picture, "uint8").reshape(32, 32, 3)).show()

and the mask is ``numpy.unpackbits(numpy.frombuffer(row["mask"], "uint8"))[: 32 * 32]``. The
resolution and the counts of rejections stand in the schema's metadata, as JSON.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.artifacts import replacing

_METADATA_KEY: Final = b"gseg.samples"
_VERSION: Final = 1
_FIXED_COLUMNS: Final = ("index", "label", "picture", "mask")


class DamagedShardError(ValueError):
    """A file is no shard, or not a whole one; the message names it."""


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
    """

    number: int
    indices: Tensor
    labels: Tensor | None
    pictures: Tensor
    masks: Tensor
    statistics: Mapping[str, Tensor]
    counts: Mapping[str, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

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
            )

    @classmethod
    def load(cls, path: Path) -> "Shard":
        """Read what `save` wrote.

        Args:
            path: The file.

        Returns:
            The shard, on the CPU.

        Raises:
            DamagedShardError: The file is truncated, no shard, or lacks rows.
        """
        try:
            with pq.ParquetFile(path) as file:
                return _from_table(file.read(use_threads=False))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DamagedShardError(
                f"{path} is no whole shard of samples: {error}. Delete it and draw it again."
            ) from error


def shard_name(number: int) -> str:
    """Name a shard's file so that names sort as numbers do."""
    return f"shard-{number:06d}.parquet"


def _to_table(shard: Shard) -> pa.Table:
    count, _, height, width = shard.pictures.shape
    bits = np.packbits(shard.masks.numpy().reshape(count, height * width), axis=1)
    columns = {
        "index": pa.array(shard.indices.numpy()),
        "label": pa.nulls(count, pa.int64()) if shard.labels is None else shard.labels.numpy(),
        "picture": _to_binary(shard.pictures.permute(0, 2, 3, 1).contiguous().numpy()),
        "mask": _to_binary(bits),
        **{name: values.numpy() for name, values in shard.statistics.items()},
    }
    header = {
        "version": _VERSION,
        "rows": count,
        "number": shard.number,
        "resolution": height,
        "labelled": shard.labels is not None,
        "counts": dict(shard.counts),
        "provenance": dict(shard.provenance),
    }
    return pa.table(columns).replace_schema_metadata({_METADATA_KEY: json.dumps(header)})


def _from_table(table: pa.Table) -> Shard:
    header = json.loads((table.schema.metadata or {})[_METADATA_KEY])
    if header["version"] != _VERSION:
        raise ValueError(
            f"it has format {header['version']}, this version of gseg reads {_VERSION}"
        )
    count, side = table.num_rows, header["resolution"]
    if count != header["rows"]:
        raise ValueError(f"it has {count} rows, expected {header['rows']}")
    pictures = _from_binary(table["picture"]).reshape(count, side, side, 3)
    bits = _from_binary(table["mask"]).reshape(count, math.ceil(side * side / 8))
    masks = np.unpackbits(bits, axis=1, count=side * side).reshape(count, side, side)
    return Shard(
        number=header["number"],
        indices=_to_tensor(table["index"]),
        labels=_to_tensor(table["label"]) if header["labelled"] else None,
        pictures=torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))),
        masks=torch.from_numpy(masks.astype(np.bool_)),
        statistics={
            name: _to_tensor(table[name])
            for name in table.column_names
            if name not in _FIXED_COLUMNS
        },
        counts=header["counts"],
        provenance=header["provenance"],
    )


def _to_tensor(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().copy())


def _to_binary(rows: NDArray[np.uint8]) -> pa.Array:
    """Make a column of byte strings of one length, without a copy."""
    width = math.prod(rows.shape[1:])
    buffers = [None, pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), buffers)


def _from_binary(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Give the bytes of such a column, without a copy."""
    array = column.combine_chunks()
    width = array.type.byte_width
    values = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    return values[array.offset * width : (array.offset + len(array)) * width]

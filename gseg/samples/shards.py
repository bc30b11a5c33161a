"""Samples in memory, and at rest: shards, one Parquet file each.

A shard covers a fixed range of candidates and holds those that were accepted: their numbers,
labels, pictures, masks as packed bits, row by row, and what the filters measured. With pandas:

    row = pandas.read_parquet("shard-000000.parquet").iloc[0]
    Image.fromarray(numpy.frombuffer(row.picture, "uint8").reshape(32, 32, 3)).show()

and the mask is ``numpy.unpackbits(numpy.frombuffer(row["mask"], "uint8"))[: 32 * 32]``. The
resolution and the counts of rejections stand in the schema's metadata, as JSON, so that a shard's
facts are read without its samples (`ShardFacts`). There it also says which set of a storage it
belongs to: a file that has got into another set's folder, or under another number, is found out.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.downloads import check_rows, why_unreadable
from gseg.samples.config import PictureFormat
from gseg.storage.damage import is_damage, put_aside
from gseg.storage.digests import is_digest
from gseg.storage.files import replacing
from gseg.storage.manifests import OLDER, note_doubt
from gseg.storage.mirror import StorageError, fetch, place_of, read_end

_T = TypeVar("_T")

_VERSION: Final = 2
_METADATA_KEY: Final = b"gseg.samples"
_CHECKSUM_KEY: Final = b"gseg.samples.crc32"
# More than a shard's description takes.
_END_BYTES: Final = 2**16
# What reading a damaged file may raise.
_UNREADABLE: Final = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)
_FIXED_COLUMNS: Final = ("index", "label", "picture", "mask")
_FACTS: Final = ("number", "rows", "resolution", "counts", "provenance")
_QUALITY: Final = (cv2.IMWRITE_JPEG_QUALITY, 95)


class DamagedShardError(ValueError):
    """A file is no shard, or not a whole one; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SampleSet:
    """Accepted samples: generated pictures with their masks.

    Attributes:
        indices: (N,) int64, the candidates' numbers, ascending.
        labels: (N,) int64 class labels, or None if the generator ignores them.
        pictures: (N, 3, R, R) uint8.
        masks: (N, R, R) bool, True is foreground.
        statistics: (N,) float32 or int64 each, measured while filtering.
        counts: ``candidates``, ``accepted``, and rejections by reason in the order of
            `gseg.samples.config.REASONS`. Of a set that ends within a shard they go on to the
            shard's end: ``accepted`` may exceed N.
    """

    indices: Tensor
    labels: Tensor | None
    pictures: Tensor
    masks: Tensor
    statistics: Mapping[str, Tensor]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shard(SampleSet):
    """The accepted samples of one range of candidates.

    Attributes:
        number: Its place among the shards, from 0.
        provenance: What made it, as JSON values: generator and config.
        picture_format: How pictures are stored.
    """

    number: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    picture_format: PictureFormat = "exact"

    def as_stored(self) -> "Shard":
        """Give what `load` will read after `save`: the same, except for pictures kept as JPEG."""
        if self.picture_format == "exact":
            return self
        column = pa.chunked_array([to_column(self.pictures, self.picture_format)])
        side = self.pictures.shape[-1]
        return replace(self, pictures=from_column(column, side, self.picture_format))

    def save(self, path: Path) -> None:
        """Write one Parquet file, whole or not at all."""
        with replacing(Path(path)) as part:
            pq.write_table(
                _to_table(self, _set_of(path)),
                part,
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=["index"],
                # With that of the JSON: a file that was cut off, or in which a bit has flipped, is
                # found out when it is read and never taken for samples.
                write_page_checksum=True,
            )

    @classmethod
    def load(cls, path: Path) -> "Shard":
        """Read what `save` wrote, onto the CPU; a file on an object store is fetched first.

        Raises:
            DamagedShardError: The file is truncated, altered, no shard, or lacks rows.
            FileNotFoundError: There is no such file.
        """

        def read() -> "Shard":
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                header = _read_header(file.schema_arrow, path)
                check_rows(path, file.metadata)
                return _from_table(file.read(use_threads=False), header)

        fetch(path)
        return _reading(path, read)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFacts:
    """Enough of a shard to plan with, read in a moment; `Shard` says what is what.

    Attributes:
        rows: Accepted samples.
        resolution: Side of the pictures in pixels.
        set_name: Digest of its set; empty outside a storage, and in those of older versions.
    """

    number: int
    rows: int
    resolution: int
    counts: Mapping[str, int]
    provenance: Mapping[str, Any]
    set_name: str

    @classmethod
    def read(cls, path: Path) -> "ShardFacts":
        """Read a file's facts without its samples; of one on an object store only the end.

        Raises:
            DamagedShardError: The file is truncated or no shard.
            FileNotFoundError: There is no such file.
            StorageError: The object store does not answer.
        """

        def read() -> "ShardFacts":
            end = path if path.exists() else pa.BufferReader(read_end(path, _END_BYTES))
            header = _read_header(pq.read_schema(end), path)
            return cls(set_name=header.get("set", ""), **{name: header[name] for name in _FACTS})

        return _reading(path, read)


def shard_name(number: int) -> str:
    """Name a shard's file so that names sort as numbers do."""
    return f"shard-{number:06d}.parquet"


def find_facts(path: Path, *, read_only: bool = False) -> ShardFacts | None:
    """Look for a shard; what turns out to be damaged is put aside, so that it is drawn again.

    Args:
        path: The file; it is read again only after it has changed.
        read_only: Leave what is damaged where it is.

    Returns:
        Its facts, or None if it is not there.
    """
    try:
        status = path.stat()
        key = (status.st_mtime_ns, status.st_size)
    except FileNotFoundError:  # it may be on an object store all the same
        key = (0, 0)
    try:
        facts = _facts(path, *key)
        if not facts.set_name and _set_of(path):
            note_doubt(f"shards do not say which set they belong to: {OLDER}", path)
        return facts
    except FileNotFoundError:
        return None
    except DamagedShardError as error:
        put_aside(path, error, read_only=read_only)
        return None


@lru_cache(maxsize=16_384)
def _facts(path: Path, _modified: int, _size: int) -> ShardFacts:
    return ShardFacts.read(path)


def _reading(path: Path, read: Callable[[], _T]) -> _T:
    """Read a file; a copy of an object store that is damaged is fetched again."""
    for again in (False, True):
        try:
            return read()
        except (FileNotFoundError, StorageError):
            raise
        except _UNREADABLE as error:
            if not is_damage(error):
                raise
            if again or place_of(path) is None or not fetch(path, again=True):
                raise _damaged(path, error) from error
    raise AssertionError


def _damaged(path: Path, error: Exception) -> DamagedShardError:
    reason = why_unreadable(path, error) or type(error).__name__
    return DamagedShardError(
        f"{path} is no whole shard of samples: {reason.rstrip('.')}. It has to be drawn again."
    )


def _set_of(path: Path) -> str:
    """Name the set whose shard a file is by where it is; empty where that is no set's folder."""
    name = path.absolute().parent.name
    # Whoever copies a set may give the folder a name of his own.
    return name if is_digest(name) else ""


def _to_table(shard: Shard, set_name: str) -> pa.Table:
    count, _, height, width = shard.pictures.shape
    bits = np.packbits(shard.masks.numpy().reshape(count, height * width), axis=1)
    table = pa.table(
        {
            "index": pa.array(shard.indices.numpy()),
            "label": pa.nulls(count, pa.int64()) if shard.labels is None else shard.labels.numpy(),
            "picture": to_column(shard.pictures, shard.picture_format),
            "mask": _to_binary(bits),
            **{name: values.numpy() for name, values in shard.statistics.items()},
        }
    )
    header = {
        "version": _VERSION,
        "rows": count,
        "number": shard.number,
        "resolution": height,
        "labelled": shard.labels is not None,
        "picture_format": shard.picture_format,
        "counts": dict(shard.counts),
        "provenance": dict(shard.provenance),
        "columns": _columns(table.schema),
        # A page's checksum does not say which file it is in.
        "rows_crc32": _crc32(table),
        **({"set": set_name} if set_name else {}),
    }
    text = json.dumps(header).encode()
    return table.replace_schema_metadata({_METADATA_KEY: text, _CHECKSUM_KEY: _checksum(text)})


def _read_header(schema: pa.Schema, path: Path) -> dict[str, Any]:
    """Read the description; compare it with its checksum, the columns there are, and its place."""
    metadata = schema.metadata or {}
    if _METADATA_KEY not in metadata:
        raise ValueError("it says nothing about samples")
    text = metadata[_METADATA_KEY]
    header: dict[str, Any] = json.loads(text)
    if header["version"] != _VERSION:
        raise ValueError(f"it has format {header['version']}, this gseg reads {_VERSION}")
    if metadata.get(_CHECKSUM_KEY) != _checksum(text):
        raise ValueError("its description does not fit the checksum")
    if header["columns"] != _columns(schema):
        raise ValueError(
            f"it has columns that its description lacks, or lacks some: {schema.names}"
        )
    wanted = _set_of(path)
    if wanted and header.get("set", wanted) != wanted:
        raise ValueError(f"it belongs to the set {header['set']}")
    if wanted and path.name != shard_name(header["number"]):
        raise ValueError(f"it is shard {header['number']}")
    return header


def _checksum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()


def _crc32(table: pa.Table) -> int:
    """Sum up what the rows hold, column by column."""
    found = 0
    for column in table.columns:
        if pa.types.is_fixed_size_binary(column.type):
            parts: Iterable[Any] = [_from_binary(column)]
        elif pa.types.is_binary(column.type):
            parts = (file.as_buffer() for file in column)
        else:
            parts = [column.to_numpy()]
        for part in parts:
            found = zlib.crc32(part, found)
    return found


def _columns(schema: pa.Schema) -> list[list[str]]:
    return [[column.name, str(column.type)] for column in schema]


def _from_table(table: pa.Table, header: Mapping[str, Any]) -> Shard:
    count, side = table.num_rows, header["resolution"]
    if count != header["rows"]:
        raise ValueError(f"it has {count} rows, expected {header['rows']}")
    if header.get("rows_crc32", crc32 := _crc32(table)) != crc32:
        raise ValueError("its rows do not fit the checksum")
    bits = _from_binary(table["mask"]).reshape(count, math.ceil(side * side / 8))
    masks = np.unpackbits(bits, axis=1, count=side * side).reshape(count, side, side)
    measured = [name for name in table.column_names if name not in _FIXED_COLUMNS]
    told = ("number", "counts", "provenance", "picture_format")
    return Shard(
        **{name: header[name] for name in told},
        indices=_to_tensor(table["index"]),
        labels=_to_tensor(table["label"]) if header["labelled"] else None,
        pictures=from_column(table["picture"], side, header["picture_format"]),
        masks=torch.from_numpy(masks.view(np.bool_)),
        statistics={name: _to_tensor(table[name]) for name in measured},
    )


def _to_tensor(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().copy())


# Exact pictures are raw bytes, which Parquet compresses with zstd at its fastest level. PNG and
# lossless WebP are a third to a half smaller, but at 128 px decoding one takes half a millisecond,
# eight times as long, and encoding one a millisecond, which is longer than a fast generator needs
# for the picture; docs/samples.md has the table. JPEG changes pictures, so it is part of what a
# set of samples is; it stands for what the papers' programs store, at a fifth of the space.


def to_column(pictures: Tensor, picture_format: PictureFormat) -> pa.Array:
    """Encode pictures (n, 3, R, R) uint8 as raw bytes of height, width, channel, or as JPEG."""
    pixels = pictures.permute(0, 2, 3, 1).contiguous().numpy()
    if picture_format == "exact":
        return _to_binary(pixels)
    files = [
        cv2.imencode(".jpg", cv2.cvtColor(each, cv2.COLOR_RGB2BGR), _QUALITY)[1].tobytes()
        for each in pixels
    ]
    return pa.array(files, type=pa.binary())


def from_column(column: pa.ChunkedArray, side: int, picture_format: PictureFormat) -> Tensor:
    """Decode pictures of `to_column`, of R = side pixels.

    Returns:
        (n, 3, R, R) uint8; in memory the channels of a pixel are neighbours.

    Raises:
        ValueError: A picture cannot be decoded or has another size.
    """
    if picture_format == "exact":
        pixels = _from_binary(column).reshape(-1, side, side, 3).copy()
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)
    pixels = np.empty((len(column), side, side, 3), dtype=np.uint8)
    for row, file in enumerate(column):
        content = np.frombuffer(file.as_buffer(), dtype=np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if picture is None or picture.shape != (side, side, 3):
            raise ValueError(f"the picture in row {row} is no JPEG of {side} x {side} pixels")
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=pixels[row])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _to_binary(rows: NDArray[np.uint8]) -> pa.Array:
    """Make a column of byte strings of one length of (n, ...), without a copy."""
    width = math.prod(rows.shape[1:])
    buffers = [None, pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), buffers)


def _from_binary(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Give the bytes of such a column, read-only and without a copy."""
    array = column.combine_chunks()
    width = array.type.byte_width
    values = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    return values[array.offset * width : (array.offset + len(array)) * width]

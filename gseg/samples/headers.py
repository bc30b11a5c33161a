"""What stands at the end of a shard's file: its description, with a checksum of its own."""

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from gseg.storage.mirror import discard, read_end
from gseg.storage.objects import StorageError

_log = logging.getLogger(__name__)

VERSION: Final = 2
_METADATA_KEY: Final = b"gseg.samples"
_CHECKSUM_KEY: Final = b"gseg.samples.crc32"
_END_BYTES: Final = 2**16
"""More than a shard's description takes."""
UNREADABLE: Final = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)
"""What reading a damaged file may raise."""


class DamagedShardError(ValueError):
    """A file is no shard, or not a whole one; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFacts:
    """Enough of a shard to plan with, read in a moment.

    Attributes:
        number: See `gseg.samples.Shard`.
        rows: Accepted samples.
        resolution: Side of the pictures in pixels.
        counts: See `gseg.samples.Shard`.
        provenance: See `gseg.samples.Shard`.
    """

    number: int
    rows: int
    resolution: int
    counts: Mapping[str, int]
    provenance: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "ShardFacts":
        """Read a file's facts without its samples.

        Args:
            path: The file; of one on an object store only the end is fetched.

        Returns:
            Its facts.

        Raises:
            DamagedShardError: The file is truncated or no shard.
            FileNotFoundError: There is no such file.
            StorageError: The object store does not answer.
        """
        try:
            end = path if path.exists() else pa.BufferReader(read_end(path, _END_BYTES))
            header = read_header(pq.read_schema(end))
            return cls(**{name: header[name] for name in cls.__slots__})
        except (FileNotFoundError, StorageError):
            raise
        except UNREADABLE as error:
            raise damaged(path, error) from error


def find_facts(path: Path, *, read_only: bool = False) -> ShardFacts | None:
    """Look for a shard; what turns out to be damaged is deleted, so that it is drawn again.

    Args:
        path: The file; it is read again only after it has changed.
        read_only: Leave what is damaged where it is.

    Returns:
        Its facts, or None if it is not there.
    """
    try:
        status = path.stat()
        key = (status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        key = (0, 0)
    try:
        return _facts(path, *key)
    except FileNotFoundError:
        return None
    except DamagedShardError as error:
        if not read_only:
            put_away(path, error)
        return None


def put_away(path: Path, error: DamagedShardError) -> None:
    """Delete a damaged shard, so that whoever needs it draws it again."""
    _log.warning("%s It is deleted now.", error)
    discard(path)


@lru_cache(maxsize=16_384)
def _facts(path: Path, _modified: int, _size: int) -> ShardFacts:
    return ShardFacts.read(path)


def damaged(path: Path, error: Exception) -> DamagedShardError:
    """Make the error that says which file is damaged, and how."""
    lines = str(error).splitlines() or [type(error).__name__]
    return DamagedShardError(
        f"{path} is no whole shard of samples: {lines[0].rstrip('.')}. It has to be drawn again."
    )


def write_header(table: pa.Table, header: Mapping[str, Any]) -> pa.Table:
    """Put a description into a table's schema.

    Args:
        table: The samples.
        header: JSON values; version and columns are added.

    Returns:
        The same table with metadata.
    """
    whole = {"version": VERSION, **header, "columns": _columns(table.schema)}
    text = json.dumps(whole).encode()
    checksum = f"{zlib.crc32(text):08x}".encode()
    return table.replace_schema_metadata({_METADATA_KEY: text, _CHECKSUM_KEY: checksum})


def read_header(schema: pa.Schema) -> dict[str, Any]:
    """Read the description; compare it with its checksum and with the columns there are.

    Args:
        schema: Of a shard's file.

    Returns:
        What `write_header` was given.

    Raises:
        ValueError: It is of another format, was altered, or is not there.
    """
    metadata = schema.metadata or {}
    if _METADATA_KEY not in metadata:
        raise ValueError("it says nothing about samples")
    text = metadata[_METADATA_KEY]
    header: dict[str, Any] = json.loads(text)
    if header["version"] != VERSION:
        raise ValueError(f"it has format {header['version']}, this version of gseg reads {VERSION}")
    if metadata.get(_CHECKSUM_KEY) != f"{zlib.crc32(text):08x}".encode():
        raise ValueError("its description does not fit the checksum")
    if header["columns"] != _columns(schema):
        raise ValueError(f"it has columns {_columns(schema)}, expected {header['columns']}")
    return header


def _columns(schema: pa.Schema) -> list[list[str]]:
    return [[column.name, str(column.type)] for column in schema]

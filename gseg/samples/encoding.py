"""Pictures as a column of bytes: exact, or JPEG files of quality 95.

Exact pictures are raw bytes in the order height, width, channel, which Parquet compresses with
zstd at its fastest level. PNG and lossless WebP are a third to a half smaller, but at 128 px
decoding one takes half a millisecond, eight times as long, and encoding one a millisecond, which
is longer than a fast generator needs for the picture; ``docs/samples.md`` has the table.

JPEG changes pictures, so it is part of what a set of samples is (`SampleConfig.picture_format`);
it stands for what the papers' programs store, at a fifth of the space.
"""

import math
from collections.abc import Iterable
from typing import Final, Literal, get_args

import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

PictureFormat = Literal["exact", "jpeg95"]

PICTURE_FORMATS: Final[tuple[PictureFormat, ...]] = get_args(PictureFormat)
_QUALITY: Final = (cv2.IMWRITE_JPEG_QUALITY, 95)


def to_column(pictures: Tensor, picture_format: PictureFormat) -> pa.Array:
    """Encode pictures.

    Args:
        pictures: (n, 3, R, R) uint8.
        picture_format: How.

    Returns:
        n byte strings: raw bytes of height, width, channel, or JPEG files.
    """
    pixels = pictures.permute(0, 2, 3, 1).contiguous().numpy()
    if picture_format == "exact":
        return to_binary(pixels)
    return pa.array([_to_jpeg(each) for each in pixels], type=pa.binary())


def from_column(column: pa.ChunkedArray, side: int, picture_format: PictureFormat) -> Tensor:
    """Decode pictures.

    Args:
        column: From `to_column`.
        side: Their side R in pixels.
        picture_format: As they were encoded.

    Returns:
        (n, 3, R, R) uint8; in memory the channels of a pixel are neighbours.

    Raises:
        ValueError: A picture cannot be decoded or has another size.
    """
    if picture_format == "exact":
        pixels = from_binary(column).reshape(-1, side, side, 3).copy()
    else:
        pixels = _from_jpegs((each.as_buffer() for each in column), len(column), side)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def as_stored(pictures: Tensor, picture_format: PictureFormat) -> Tensor:
    """Give pictures as they come back after they were stored.

    Args:
        pictures: (n, 3, R, R) uint8.
        picture_format: How they would be stored.

    Returns:
        The same tensor, or with JPEG the decoded pictures.
    """
    if picture_format == "exact":
        return pictures
    column = pa.chunked_array([to_column(pictures, picture_format)])
    return from_column(column, pictures.shape[-1], picture_format)


def to_binary(rows: NDArray[np.uint8]) -> pa.Array:
    """Make a column of byte strings of one length, without a copy.

    Args:
        rows: (n, ...), contiguous or not.

    Returns:
        One string for each row.
    """
    width = math.prod(rows.shape[1:])
    buffers = [None, pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), buffers)


def from_binary(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Give the bytes of such a column, without a copy.

    Args:
        column: From `to_binary`.

    Returns:
        (bytes,) read-only.
    """
    array = column.combine_chunks()
    width = array.type.byte_width
    values = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    return values[array.offset * width : (array.offset + len(array)) * width]


def _to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _QUALITY)
    assert done
    return bytes(content)


def _from_jpegs(files: Iterable[pa.Buffer], count: int, side: int) -> NDArray[np.uint8]:
    pixels = np.empty((count, side, side, 3), dtype=np.uint8)
    for row, file in enumerate(files):
        picture = cv2.imdecode(np.frombuffer(file, dtype=np.uint8), cv2.IMREAD_COLOR)
        if picture is None or picture.shape != (side, side, 3):
            raise ValueError(f"the picture in row {row} is no JPEG of {side} x {side} pixels")
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=pixels[row])
    return pixels

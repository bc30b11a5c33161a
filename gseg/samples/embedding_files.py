"""Files of embeddings: the official program's form, and the same with where each comes from.

The embeddings that Voynov et al. 2021 publish are ``.npy`` arrays (pictures, latent_dim). `gseg`
writes the same, and beside it Parquet, which names each latent's picture, the encoder and the
generator whose latents these are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gseg.storage.files import replacing

_KEY: Final = b"gseg.embeddings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """Latents of a set of pictures.

    Attributes:
        latents: (M, latent_dim) float32.
        pictures: Name of each picture: its path below the folder, or its number.
        skipped: What could not be read, with the reason.
    """

    latents: NDArray[np.float32]
    pictures: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def save_embeddings(path: Path, found: Embeddings, told: Mapping[str, Any]) -> None:
    """Write latents as NumPy array and as Parquet.

    Args:
        path: ``.npy`` file, gets an (M, latent_dim) float32 array; the same name with
            ``.parquet`` gets columns ``picture`` and ``embedding``.
        found: What to write.
        told: JSON values for the header: ``generator`` and whatever else is known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    width = found.latents.shape[1]
    flat = pa.array(np.ascontiguousarray(found.latents).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table({"picture": list(found.pictures), "embedding": column})
    header = json.dumps({**told, "skipped": list(found.skipped)}).encode()
    with replacing(path.with_suffix(".parquet")) as part:
        pq.write_table(table.replace_schema_metadata({_KEY: header}), part)
    with replacing(path) as part, part.open("wb") as opened:
        np.save(opened, found.latents, allow_pickle=False)


def told_of(path: Path) -> Mapping[str, Any]:
    """Read what the Parquet file beside a ``.npy`` file says of it.

    Args:
        path: The ``.npy`` file.

    Returns:
        The header; empty where there is no such file, as beside the official program's.
    """
    beside = path.with_suffix(".parquet")
    if not beside.is_file():
        return {}
    try:
        metadata = pq.read_schema(beside).metadata or {}
    except pa.ArrowException:
        return {}
    told: dict[str, Any] = json.loads(metadata.get(_KEY, b"{}"))
    return told

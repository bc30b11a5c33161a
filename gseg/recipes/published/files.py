"""Write the published numbers as files that need no gseg to read."""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from gseg.recipes.published.cells import published_tables
from gseg.storage.files import replacing

_FILE: Final = "tables.parquet"


def write_published(folder: Path) -> Path:
    """Write all published numbers as one Parquet file.

    Args:
        folder: Such as ``results/published``; made if missing.

    Returns:
        The file. The same numbers give the same rows in the same order.
    """
    path = folder / _FILE
    with replacing(path) as part:
        pq.write_table(
            pa.Table.from_pandas(published_tables(), preserve_index=False),
            part,
            compression="zstd",
        )
    return path

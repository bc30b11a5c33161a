"""What a choice leaves on disk: the chosen direction, and a table of all candidates."""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from gseg.directions.choice_config import ChoiceConfig
from gseg.directions.choosing import Choice
from gseg.storage.store import replacing

TABLE: Final = "candidates.parquet"


def choice_table(choice: Choice, config: ChoiceConfig) -> pa.Table:
    """List all candidates with their scores.

    Args:
        choice: From `gseg.directions.choose_direction`.
        config: As given to it.

    Returns:
        One row for each candidate: ``number``, ``restoration_loss``, ``distance`` (D),
        ``one_map_loss``, ``two_affine_ratio``, ``share`` of the pixels that take the lightening
        map, ``eligible`` (for rule ``voynov2021``) and ``chosen``.
    """
    scores = choice.scores
    count = len(scores.two.losses)
    return pa.table(
        {
            "number": list(range(count)),
            "restoration_loss": scores.two.losses.tolist(),
            "distance": scores.two.distances.tolist(),
            "one_map_loss": scores.one.losses.tolist(),
            "two_affine_ratio": scores.ratios.tolist(),
            "share": scores.two.shares.tolist(),
            "eligible": scores.eligible(config).tolist(),
            "chosen": [number == choice.number for number in range(count)],
        }
    )


def save_choice(folder: Path, choice: Choice, config: ChoiceConfig) -> None:
    """Write the direction, as `gseg.directions.Direction.save` does, and the table.

    Args:
        folder: Made if missing; gets ``candidates.parquet`` beside the direction's files.
        choice: From `gseg.directions.choose_direction`.
        config: As given to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / TABLE) as part:
        pq.write_table(choice_table(choice, config), part)
    choice.direction.save(folder)

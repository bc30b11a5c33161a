"""Training straight from the generator: pairs are drawn as they are needed, and not stored.

So Voynov et al. 2021 trained (section 3.5): no pair is seen twice. Accepted samples come in the
order of their numbers, while the next shards are drawn in a thread of their own; a training on
the same samples from shards gives the same network to the last bit.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path

from gseg.generators.contract import Generator
from gseg.samples import SampleConfig, Shard, ShiftVectors, draw_shard
from gseg.segmenters.config import FitConfig
from gseg.segmenters.streaming import AHEAD, StreamedPairs
from gseg.storage.mirror import fetch
from gseg.storage.store import write_atomically


def online_pairs(
    generator: Generator,
    direction: ShiftVectors,
    config: SampleConfig,
    training: FitConfig,
    *,
    journal: Path | None = None,
) -> StreamedPairs:
    """Draw the pairs of a training while it runs, in this process.

    Args:
        generator: Where pictures come from, on any device.
        direction: The shift vectors.
        config: How to draw.
        training: What will be trained; its shuffle_window is 1.
        journal: See `drawn_pairs`.

    Returns:
        A source for `gseg.segmenters.fit_source`.

    Raises:
        ValueError: The training shuffles.
    """

    def load(number: int) -> Shard:
        return draw_shard(generator, direction, config, number).as_stored()

    return drawn_pairs(load, generator.card.resolution, training, journal=journal)


def drawn_pairs(
    load: Callable[[int], Shard],
    resolution: int,
    training: FitConfig,
    *,
    journal: Path | None = None,
    ahead: int = AHEAD,
) -> StreamedPairs:
    """Take the pairs of a training from shards as they are drawn, by whomever.

    Args:
        load: Draws shard k.
        resolution: Side of the pictures in pixels.
        training: What will be trained; its shuffle_window is 1.
        journal: File that keeps how many samples each shard gave, a number for each, so that a
            training that goes on in the middle need not draw the shards before that again.
        ahead: Shards to draw beforehand.

    Returns:
        As many pairs as the training sees, each once.

    Raises:
        ValueError: The training shuffles.
    """
    if training.shuffle_window != 1:
        raise ValueError(
            "Pairs that are drawn while training come in their own order, got a shuffle_window of "
            f"{training.shuffle_window}: set it to 1. Generated pairs follow one another "
            "independently, so that nothing needs to be shuffled."
        )
    notes = _Journal(journal)

    def noted(number: int) -> Shard:
        shard = load(number)
        notes.note(number, len(shard))
        return shard

    return StreamedPairs(
        noted,
        training.steps * training.batch,
        resolution=resolution,
        window=1,
        known=notes.first_rows(),
        ahead=ahead,
    )


class _Journal:
    """Remembers the samples of shards, in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._rows: dict[int, int] = {}
        if path is not None and fetch(path, again=True):
            self._rows = {
                int(number): rows for number, rows in json.loads(path.read_text()).items()
            }

    def note(self, number: int, rows: int) -> None:
        with self._lock:
            if number not in self._rows:
                self._rows[number] = rows
                if self._path is not None:
                    write_atomically(self._path, json.dumps(self._rows).encode())

    def first_rows(self) -> list[int]:
        """Give the samples of shards 0, 1, 2, ... up to the first that is not known."""
        found: list[int] = []
        while len(found) in self._rows:
            found.append(self._rows[len(found)])
        return found

"""Drawing sample sets until each has enough: whether they fit, how far it is."""

import math
import time
from collections.abc import Sequence
from typing import Final

from gseg.generators.catalogue import find_card
from gseg.pipeline.costs import sample_bytes
from gseg.pipeline.jobs.draw import DrawJob, DrawOrder
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.storage.files import DiskFullError
from gseg.storage.store import Store

_RESERVE: Final = 64 * 2**20


def draw_until_enough(
    store: Store, generator: str, orders: Sequence[DrawOrder], backend: Backend, report: Report
) -> None:
    """Ask for missing shards, as many as the acceptance so far says are needed.

    Args:
        store: Where the sets are.
        generator: Catalogue name.
        orders: Sets of the same candidates; the first is the one that is waited for.
        backend: Who draws.
        report: Hears of the accepted samples of all sets.

    Raises:
        AcceptanceError: The filters of the first set reject nearly everything.
        BatchTooLargeError: There is not enough memory.
        DiskFullError: There is not enough space.
    """
    job = DrawJob(generator=generator, orders=tuple(orders), device=backend.device)
    progress = _Progress(orders, report)
    _check_space(store, job)
    while shards := job.missing():
        progress()
        backend.run(job, shards, progress)


def _check_space(store: Store, job: DrawJob) -> None:
    """Make sure that what is missing fits onto the disk, before anything is drawn."""
    side = find_card(job.generator).resolution
    needed = 0.0
    for order, known in job.unfinished():
        left = order.count - known.counts["accepted"]
        needed += left * sample_bytes(side, order.config.picture_format)
    free = store.free_bytes()
    if needed + _RESERVE > free:
        raise DiskFullError(
            f"The samples need about {needed / 2**20:,.0f} MiB, but {store.root} has "
            f"{free / 2**20:,.0f} MiB left. Choose another --storage or a smaller --data-size."
        )


class _Progress:
    """Tells a report how many samples there are, how fast they come and how many are accepted."""

    def __init__(self, orders: Sequence[DrawOrder], report: Report) -> None:
        self._sets = [order.growing() for order in orders]
        self._counts, self._report = [order.count for order in orders], report
        self._begun, self._first = time.monotonic(), self._done()

    def __call__(self, drawn: int = 0) -> None:
        """Look at the shards, and report."""
        for each in self._sets:
            each.update()
        done, total = self._done(), sum(self._counts)
        candidates = sum(each.counts["candidates"] for each in self._sets)
        accepted = sum(each.counts["accepted"] for each in self._sets)
        detail = f"{accepted / candidates:.0%} accepted" if candidates else ""
        new, seconds = done - self._first, time.monotonic() - self._begun
        if new > 0 and seconds > 0:
            left = math.ceil((total - done) * seconds / new)
            detail += f", {new / seconds:,.0f}/s, {left:,} s left"
        self._report("samples", done, total, detail)

    def _done(self) -> int:
        return sum(
            min(each.counts["accepted"], count)
            for each, count in zip(self._sets, self._counts, strict=True)
        )

"""Drawing in the order that makes the fewest pictures, for several directions at once.

Of a block of candidates the shifted pictures come first; the histogram rule looks at nothing
else. Masks of Eq. (2) and masks from the shifted picture's mean are judged on them as well, and
G(z) is made only for accepted candidates. Masks of Eq. (3) compare with G(z): it is made for the
candidates that pass the histogram. Directions that share latents share G(z), and a shifted picture
that two kinds of masks look at is made once.

What is accepted is the same as if G(z) came first for all.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.generators.contract import Forward, Generator, forward_with, sampling_setting
from gseg.images import to_uint8
from gseg.samples import filters as rules
from gseg.samples.config import HistogramRule, SampleConfig
from gseg.samples.filters import Verdicts
from gseg.samples.latents import candidates
from gseg.samples.masks import judged_masks, needs_original
from gseg.samples.shards import SampleSet
from gseg.transfers import send, start_copy, start_mask_copy

_Places = NDArray[np.int64]
CountsKey = tuple[int, HistogramRule, int]


@dataclass(frozen=True, slots=True)
class Request:
    """One sample set that is drawn.

    Attributes:
        config: How to draw.
        shifts: Number of the shift by name of the direction.
        maps: The direction's colour maps, for masks of kind ``affine``.
    """

    config: SampleConfig
    shifts: Mapping[str, int]
    maps: ColourMaps | None = None

    def counts_keys(self) -> list[CountsKey]:
        """Say which histograms are counted: of which shift, by which rule, in how many bins."""
        filters = self.config.filters
        if filters.histogram is None:
            return []
        return [(k, filters.histogram, filters.histogram_bins) for k in self.shifts.values()]


@dataclass(slots=True, eq=False)
class _Part:
    """What one request makes of one block; places are positions in the block, ascending.

    Attributes:
        left: What the histogram leaves.
        compared: What masks are made of.
        shown: Whose pictures are copied: those that may be accepted.
    """

    request: Request
    left: _Places
    maxima: NDArray[np.int64] | None
    compared: _Places
    shown: _Places = field(init=False)
    judged: Callable[[], Verdicts] = field(init=False)
    changes: Callable[[], Tensor] = field(init=False)
    pictures: Callable[[], Tensor] = field(init=False)

    def accepted(self) -> _Places:
        """What all filters leave."""
        return self.left[self.judged().accepted]


@dataclass(slots=True, eq=False)
class Block:
    """A block of candidates and what the requests make of it; own labels are the CPU's."""

    indices: Tensor
    code: Tensor
    labels: Tensor | None
    own_labels: Tensor | None
    moved: list[Tensor]
    counts: Mapping[CountsKey, Callable[[], Tensor]]
    moved_sums: list[Callable[[], Tensor]]
    made_sums: Callable[[], Tensor] = field(init=False)
    parts: list[_Part] = field(default_factory=list)
    wanted: _Places = field(init=False)


class Originals:
    """A queue of candidates that need their G(z), whose pictures are made in batches of one size.

    Args:
        forward: Makes pictures from codes and labels.
        batch: Size of every batch.
    """

    def __init__(self, forward: Forward, batch: int) -> None:
        # A network may give other last bits in another batch size, so the candidates that are left
        # of several blocks are gathered until they fill a batch of the size of a block. In a batch
        # of one size a picture's bits depend neither on its place nor on its neighbours: the tests
        # hold every embedded generator to that.
        self._forward, self._batch = forward, batch
        self._codes: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._made: list[Tensor] = []

    def add(self, codes: Tensor, labels: Tensor | None) -> None:
        """Put candidates at the end of the queue; make pictures while they fill a batch.

        Args:
            codes: (n, code_dim) float32.
            labels: (n,) int64, or None; the same throughout.
        """
        self._codes.append(codes)
        if labels is not None:
            self._labels.append(labels)
        while _total(self._codes) >= self._batch:
            self._make()

    def flush(self) -> None:
        """Make the pictures of all that wait."""
        if _total(self._codes):
            self._make()

    def take(self, count: int) -> Tensor | None:
        """Hand out the pictures (count, 3, R, R) of the candidates that were added first.

        Returns:
            None if they are not all made yet.
        """
        if not self._made or _total(self._made) < count:
            return None
        made = torch.cat(self._made) if len(self._made) > 1 else self._made[0]
        self._made = [made[count:]]
        return made[:count]

    def _make(self) -> None:
        codes, self._codes = self._cut(self._codes)
        labels, self._labels = self._cut(self._labels) if self._labels else (None, [])
        self._made.append(self._forward(codes, labels))

    def _cut(self, parts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Take a batch off the front, filled up with zeros; the rest comes along."""
        whole = torch.cat(parts)
        missing = max(self._batch - len(whole), 0)
        if missing:  # at the end of a shard
            whole = torch.cat([whole, whole.new_zeros(missing, *whole.shape[1:])])
        return whole[: self._batch], [whole[self._batch :]]


class Cascade:
    """Draws blocks for several requests.

    Args:
        generator: Where pictures come from.
        requests: With the same candidates; their shifts are numbers in `shifts`.
        shifts: (code_dim,) float32 each, ε v.
        pool: Where masks are judged; None for this thread.
        depth: Blocks that a step may lie behind the step before it: 0 for a device that works
            while it is waited for, 1 for one that works on its own.
    """

    def __init__(
        self,
        generator: Generator,
        requests: Sequence[Request],
        shifts: Sequence[Tensor],
        *,
        pool: Executor | None,
        depth: int,
    ) -> None:
        self._generator, self._requests, self._shifts = generator, requests, shifts
        self._pool, self._depth = pool, depth
        self._setting = sampling_setting(generator.device)
        self._call = forward_with(generator, self._setting)
        self.forwards = 0

    @torch.inference_mode()
    def run(self, blocks: Sequence[int]) -> list[list[SampleSet]]:
        """Draw blocks.

        Args:
            blocks: Their numbers.

        Returns:
            For each request, the accepted samples of each block, on the CPU.
        """
        originals = Originals(self._forward, self._requests[0].config.batch)
        launched: deque[Block] = deque()
        judged: deque[Block] = deque()
        waiting: deque[Block] = deque()
        done: list[Block] = []

        # Steps of several blocks overlap: while a device makes the pictures of one block, the CPU
        # looks for components in the masks of another.
        def advance(depth: int) -> None:
            while len(launched) > depth:
                judged.append(self._screen(launched.popleft()))
            while len(judged) > depth:
                waiting.append(self._want(judged.popleft(), originals))
            while waiting and self._finish(waiting[0], originals):
                done.append(waiting.popleft())

        with self._setting.rounding():  # of codes and colour maps, too
            for block in blocks:
                launched.append(self._launch(block))
                advance(self._depth)
            advance(0)
            originals.flush()
            advance(0)
        for each in done:
            self._check_finite(each.made_sums(), each.indices[each.wanted], "not shifted")
        return [
            [_collect(block, block.parts[number]) for block in done]
            for number in range(len(self._requests))
        ]

    def _forward(self, code: Tensor, labels: Tensor | None) -> Tensor:
        self.forwards += len(code)
        return self._call(code, labels)

    def _check_finite(self, sums: Tensor, indices: Tensor, what: str) -> None:
        """Refuse pictures that hold what is no number."""
        if (bad := ~sums.isfinite()).any():
            card, seed = self._generator.card, self._requests[0].config.seed
            raise ValueError(
                f"{card.name} makes a picture that holds NaN or infinity, of candidate "
                f"{int(indices[bad][0])} of seed {seed} ({what}): check its weights, or make the "
                "shift shorter (epsilon)."
            )

    def _launch(self, number: int) -> Block:
        """Make the shifted pictures of a block and count their histograms."""
        config, generator = self._requests[0].config, self._generator
        indices = torch.arange(number * config.batch, (number + 1) * config.batch)
        z, y = candidates(generator.card, config.latents, config.seed, indices.numpy())
        labels = None if y is None else send(y, generator.device)
        code = generator.code(send(z, generator.device))
        moved = [self._forward(code + shift, labels) for shift in self._shifts]
        keys = dict.fromkeys(key for each in self._requests for key in each.counts_keys())
        counts = {key: start_copy(rules.histograms(moved[key[0]], key[1], key[2])) for key in keys}
        sums = [_begin_sums(each) for each in moved]
        return Block(
            indices, code, labels, own_labels=y, moved=moved, counts=counts, moved_sums=sums
        )

    def _screen(self, block: Block) -> Block:
        """Apply the histogram rule, and all others where G(z) is not needed for them."""
        everything = np.arange(len(block.code))
        for sums in block.moved_sums:
            self._check_finite(sums(), block.indices, "shifted by the direction")
        for request in self._requests:
            left, maxima = everything, None
            counts = [block.counts[key]().numpy() for key in request.counts_keys()]
            if counts:
                passed, maxima = rules.judge_histograms(counts, request.config.filters)
                left = np.flatnonzero(passed)
            # By this rule a mask depends on all candidates of its block.
            whole = request.config.mask_rule == "luminance_std"
            part = _Part(request, left, maxima, compared=everything if whole else left)
            if not needs_original(request.config):
                self._compare(block, part, None)
            block.parts.append(part)
        return block

    def _want(self, block: Block, originals: Originals) -> Block:
        """Ask for the G(z) that any of the requests needs."""
        needed = []
        for part in block.parts:
            compares = needs_original(part.request.config)
            part.shown = part.left if compares else part.accepted()
            needed.append(part.compared if compares else part.shown)
        block.wanted = np.unique(np.concatenate(needed))
        if len(block.wanted):
            labels = None if block.labels is None else _rows_at(block.labels, block.wanted)
            originals.add(_rows_at(block.code, block.wanted), labels)
        return block

    def _finish(self, block: Block, originals: Originals) -> bool:
        """Make the masks that need G(z), and begin to copy pictures; False if it is not there."""
        side = self._generator.card.resolution
        made: Tensor | None = block.code.new_empty(0, 3, side, side)
        if len(block.wanted):
            made = originals.take(len(block.wanted))
        if made is None:
            return False
        block.made_sums = _begin_sums(made)
        for part in block.parts:
            if needs_original(part.request.config):
                here = _find_places(part.compared, block.wanted)
                self._compare(block, part, _rows_at(made, here))
            shown = _rows_at(made, _find_places(part.shown, block.wanted))
            part.pictures = start_copy(to_uint8(shown))
        block.moved.clear()
        return True

    def _compare(self, block: Block, part: _Part, original: Tensor | None) -> None:
        """Make masks of the compared candidates, and have those that are left judged."""
        request, filters = part.request, part.request.config.filters
        moved = {key: _rows_at(block.moved[k], part.compared) for key, k in request.shifts.items()}
        # Kinds that do not need the original do not look at it either.
        first = original if original is not None else next(iter(moved.values()))
        difference, masks = judged_masks(request.config, first, moved, request.maps)
        left = _find_places(part.left, part.compared)
        copies = [start_mask_copy(_rows_at(each, left)) for each in masks]
        part.changes = changes = start_copy(rules.mean_changes(_rows_at(difference, left)))

        def judge() -> Verdicts:
            mask, *singles = (copy() for copy in copies)
            return rules.judge_masks(mask, filters, directions=singles, changes=changes().numpy())

        if self._pool:
            part.judged = self._pool.submit(judge).result
        else:  # at once, so that raw masks need not be held until the shard is done
            verdicts = judge()
            part.judged = lambda: verdicts


def _collect(block: Block, part: _Part) -> SampleSet:
    """Put the accepted samples of a block together, once all copies have arrived."""
    verdicts, places = part.judged(), part.accepted()
    among_left = np.flatnonzero(verdicts.accepted)
    reasons = np.full(len(block.indices), rules.HISTOGRAM)
    reasons[part.left] = verdicts.reasons
    statistics: dict[str, Tensor] = {}
    if part.maxima is not None:
        statistics["histogram_maxima"] = torch.from_numpy(part.maxima[places])
    for name, values in verdicts.statistics.items():
        statistics[name] = torch.from_numpy(values[among_left])
    statistics["brightness_change"] = _rows_at(part.changes(), among_left)
    return SampleSet(
        indices=_rows_at(block.indices, places),
        labels=None if block.own_labels is None else _rows_at(block.own_labels, places),
        pictures=_rows_at(part.pictures(), _find_places(places, part.shown)),
        masks=torch.from_numpy(verdicts.masks[among_left]),
        statistics=statistics,
        counts=rules.count_reasons(reasons),
    )


def _begin_sums(pictures: Tensor) -> Callable[[], Tensor]:
    """Begin to sum up each picture (N, 3, R, R): what is not finite shows in the sum."""
    return start_copy(pictures.sum((1, 2, 3)))


def _total(parts: Sequence[Tensor]) -> int:
    return sum(len(each) for each in parts)


def _rows_at(values: Tensor, places: _Places) -> Tensor:
    """Select rows, without a copy where that is all of them."""
    if len(places) == len(values):
        return values
    return values[send(torch.from_numpy(places), values.device)]


def _find_places(places: _Places, among: _Places) -> _Places:
    """Say where places stand in an ascending list that holds them all."""
    return np.searchsorted(among, places)

"""Drawing in the order that makes the fewest pictures, for several directions at once.

Of a block of candidates the shifted pictures come first; the histogram rule looks at nothing
else. Masks of Eq. (2) and masks from the shifted picture's mean are judged on them as well, and
G(z) is made only for accepted candidates. Masks of Eq. (3) compare with G(z): it is made for the
candidates that pass the histogram. Directions that share latents share G(z), and a shifted picture
that two kinds of masks look at is made once.

What is accepted is the same as if G(z) came first for all. Steps of several blocks overlap: while
a device makes the pictures of one block, the CPU looks for components in the masks of another.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gseg.generators.contract import Generator, forward_with, sampling_setting
from gseg.images import to_uint8
from gseg.samples.blocks import Block, Part, Request, collect, find_places, rows_at
from gseg.samples.histograms import histogram_counts
from gseg.samples.latents import candidates
from gseg.samples.masks import MaskKind, brightness_difference, make_masks, threshold
from gseg.samples.originals import Originals
from gseg.samples.sets import SampleSet
from gseg.samples.verdicts import judge_histograms, judge_masks, mean_changes
from gseg.transfers import send, start_copy, start_mask_copy

_SINGLE_KINDS: Final[tuple[MaskKind, ...]] = ("lighter", "darker")


class Cascade:
    """Draws blocks for several requests.

    Args:
        generator: Where pictures come from.
        requests: With the same candidates; their shifts are numbers in `shifts`.
        shifts: (code_dim,) float32 each, ε v.
        pool: Where masks are judged.
        depth: Blocks that a step may lie behind the step before it: 0 for a device that works
            while it is waited for, 1 for one that works on its own.
        plain: Make G(z) for all candidates, in the order of the blocks.
    """

    def __init__(
        self,
        generator: Generator,
        requests: Sequence[Request],
        shifts: Sequence[Tensor],
        *,
        pool: Executor,
        depth: int,
        plain: bool = False,
    ) -> None:
        self._generator, self._requests, self._shifts = generator, requests, shifts
        self._pool, self._depth, self._plain = pool, depth, plain
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
        with self._setting.rounding():  # of codes and colour maps, too
            return self._run(blocks)

    def _run(self, blocks: Sequence[int]) -> list[list[SampleSet]]:
        originals = Originals(self._forward, self._requests[0].config.batch)
        launched: deque[Block] = deque()
        judged: deque[Block] = deque()
        waiting: deque[Block] = deque()
        done: list[Block] = []

        def advance(depth: int) -> None:
            while len(launched) > depth:
                judged.append(self._screen(launched.popleft()))
            while len(judged) > depth:
                waiting.append(self._want(judged.popleft(), originals))
            while waiting and self._finish(waiting[0], originals):
                done.append(waiting.popleft())

        for block in blocks:
            launched.append(self._launch(block))
            advance(self._depth)
        advance(0)
        originals.flush()
        advance(0)
        return [
            [collect(block, block.parts[number]) for block in done]
            for number in range(len(self._requests))
        ]

    def _forward(self, code: Tensor, labels: Tensor | None) -> Tensor:
        self.forwards += len(code)
        return self._call(code, labels)

    def _launch(self, number: int) -> Block:
        """Make the shifted pictures of a block and count their histograms."""
        config, generator = self._requests[0].config, self._generator
        indices = torch.arange(number * config.batch, (number + 1) * config.batch)
        z, y = candidates(generator.card, config.latents, config.seed, indices.numpy())
        labels = None if y is None else send(y, generator.device)
        code = generator.code(send(z, generator.device))
        moved = [self._forward(code + shift, labels) for shift in self._shifts]
        keys = dict.fromkeys(key for each in self._requests for key in each.counts_keys())
        return Block(
            indices=indices,
            code=code,
            labels=labels,
            own_labels=y,
            moved=moved,
            counts={
                key: start_copy(histogram_counts(moved[key[0]], key[1], key[2])) for key in keys
            },
        )

    def _screen(self, block: Block) -> Block:
        """Apply the histogram rule, and all others where G(z) is not needed for them."""
        everything = np.arange(len(block.code))
        for request in self._requests:
            passed, maxima = np.ones(len(everything), dtype=np.bool_), None
            counts = [block.counts[key]().numpy() for key in request.counts_keys()]
            if counts:
                passed, maxima = judge_histograms(counts, request.config.filters)
            whole = self._plain or request.looks_at_block
            compared = everything if whole else np.flatnonzero(passed)
            part = Part(request, passed, maxima, compared)
            if not request.needs_original:
                self._compare(block, part, None)
            block.parts.append(part)
        return block

    def _want(self, block: Block, originals: Originals) -> Block:
        """Ask for the G(z) that any of the requests needs."""
        needed = []
        for part in block.parts:
            part.shown = part.left if part.request.needs_original else part.accepted()
            needed += [part.compared] if part.request.needs_original else [part.shown]
        block.wanted = np.unique(np.concatenate(needed))
        if self._plain:
            block.wanted = np.arange(len(block.code))
        if len(block.wanted):
            labels = None if block.labels is None else rows_at(block.labels, block.wanted)
            originals.add(rows_at(block.code, block.wanted), labels)
        return block

    def _finish(self, block: Block, originals: Originals) -> bool:
        """Make the masks that need G(z), and begin to copy pictures; False if it is not there."""
        side = self._generator.card.resolution
        made: Tensor | None = block.code.new_empty(0, 3, side, side)
        if len(block.wanted):
            made = originals.take(len(block.wanted))
        if made is None:
            return False
        for part in block.parts:
            if part.request.needs_original:
                self._compare(block, part, rows_at(made, find_places(part.compared, block.wanted)))
            assert part.shown is not None
            part.pictures = start_copy(
                to_uint8(rows_at(made, find_places(part.shown, block.wanted)))
            )
        block.moved.clear()
        return True

    def _compare(self, block: Block, part: Part, original: Tensor | None) -> None:
        """Make masks of the compared candidates, and have those that are left judged."""
        request, config = part.request, part.request.config
        moved = {name: rows_at(block.moved[k], part.compared) for name, k in request.shifts.items()}
        # Kinds that do not need the original do not look at it either.
        first = original if original is not None else next(iter(moved.values()))
        pictures = (first, moved.get("lighter"), moved.get("darker"))
        difference = brightness_difference(
            config.mask_kind, *pictures, rule=config.mask_rule, maps=request.maps
        )
        masks = [threshold(difference, rule=config.mask_rule)]
        if request.tests_singles:
            masks += [make_masks(kind, *pictures, rule=config.mask_rule) for kind in _SINGLE_KINDS]
        left = find_places(part.left, part.compared)
        copies = [start_mask_copy(rows_at(each, left)) for each in masks]
        part.changes = changes = start_copy(mean_changes(rows_at(difference, left)))
        part.judged = self._pool.submit(
            lambda: judge_masks(
                copies[0](),
                config.filters,
                directions=[copy() for copy in copies[1:]],
                changes=changes().numpy(),
            )
        )

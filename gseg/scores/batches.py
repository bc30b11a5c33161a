"""Read a benchmark's pictures ahead, bring them to working size, and batch those of equal shape."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.images import UnreadableImageError
from gseg.scores.contract import Benchmark, Example
from gseg.scores.sizes import EvalProtocol, centre_square, shrink_mask, shrink_picture

__all__ = [
    "EvalProtocol",
    "Prepared",
    "Reading",
    "equal_shapes",
    "prepare",
    "read_ahead",
    "resize_probability",
]

_WAITING_BATCHES: Final = 8
"""Pictures of rare shapes wait for company until this many batches of pictures are held."""
_READ_AHEAD: Final = 4
"""Pictures that each reader may be ahead."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A picture at working size and the mask that it is scored with.

    Attributes:
        index: Position in the benchmark.
        id: Name within the benchmark.
        picture: (3, h, w) uint8.
        mask: (H, W) bool; H = h and W = w unless scores are taken at the mask's own size.
        scored: (H, W) bool, False where no score is taken; None to score every pixel.
    """

    index: int
    id: str
    picture: Tensor
    mask: Tensor
    scored: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How pictures are read and brought to size.

    Attributes:
        protocol: Evaluation protocol; see `gseg.scores.sizes`.
        size: Shorter side that the segmenter sees.
        batch: Pictures in a group, at most.
        readers: Threads that read while the segmenter computes.
    """

    protocol: EvalProtocol
    size: int
    batch: int
    readers: int = 1


def prepare(
    example: Example, index: int, protocol: EvalProtocol, size: int, *, crop: bool = False
) -> Prepared:
    """Cut and resize a picture, and the mask with it where the protocol says so.

    Args:
        example: The picture with its mask.
        index: Position in the benchmark.
        protocol: See `gseg.scores.sizes`.
        size: Shorter side afterwards.
        crop: Whether the benchmark's pictures are cut to a square; `voynov_program` never does.

    Returns:
        What the segmenter sees and what it is scored with.
    """
    picture, mask, scored = example.picture, example.mask, example.scored
    if crop and protocol != "voynov_program":
        picture, mask = centre_square(picture), centre_square(mask)
        scored = None if scored is None else centre_square(scored)
    picture = shrink_picture(picture, size, protocol)
    if protocol == "text":
        mask = shrink_mask(mask, size)
        scored = None if scored is None else shrink_mask(scored, size)
    return Prepared(index=index, id=example.id, picture=picture, mask=mask, scored=scored)


def resize_probability(probability: Tensor, mask: Tensor) -> Tensor:
    """Bring probabilities to the size of masks, bilinearly.

    Args:
        probability: (N, h, w) floating point in [0, 1].
        mask: (N, H, W).

    Returns:
        (N, H, W) in [0, 1], the same tensor where the sizes agree.
    """
    if probability.shape == mask.shape:
        return probability
    planes = probability[:, None].float()
    resized = F.interpolate(planes, size=mask.shape[1:], mode="bilinear", align_corners=False)
    return resized[:, 0].clamp(0, 1)  # interpolation may round beyond the range


def equal_shapes(
    benchmark: Benchmark, reading: Reading, unreadable: list[str]
) -> Iterator[list[Prepared]]:
    """Go through a benchmark in groups of equal shape, holding few pictures at a time.

    The groups are a function of the benchmark alone, however many threads read.

    Args:
        benchmark: The pictures.
        reading: How to read them.
        unreadable: Takes one line for each damaged file, if the benchmark skips these.

    Yields:
        Groups that together are all readable pictures, each once.

    Raises:
        UnreadableImageError: A file is damaged and the benchmark does not skip it.
    """
    waiting: dict[tuple[torch.Size, torch.Size], list[Prepared]] = {}
    held = 0

    def read(index: int) -> Prepared | UnreadableImageError:
        try:
            example = benchmark[index]
        except UnreadableImageError as error:
            return error
        return prepare(example, index, reading.protocol, reading.size, crop=benchmark.crop)

    for prepared in read_ahead(read, len(benchmark), reading.readers):
        if isinstance(prepared, UnreadableImageError):
            if not benchmark.skip_bad:
                raise prepared
            unreadable.append(str(prepared))
            continue
        group = waiting.setdefault((prepared.picture.shape, prepared.mask.shape), [])
        group.append(prepared)
        held += 1
        if len(group) < reading.batch and held < _WAITING_BATCHES * reading.batch:
            continue
        key = max(waiting, key=lambda shape: len(waiting[shape]))
        full = waiting.pop(key)
        held -= len(full)
        yield full
    yield from waiting.values()


def read_ahead(read: Callable[[int], T], count: int, readers: int) -> Iterator[T]:
    """Call a function for 0, 1, ... in threads that stay a little ahead of who takes the results.

    Args:
        read: What to call.
        count: How often.
        readers: Threads.

    Yields:
        The results in order.
    """
    pool = ThreadPoolExecutor(readers, thread_name_prefix="gseg-reader")
    pending: deque[Future[T]] = deque()
    try:
        for index in range(count):
            pending.append(pool.submit(read, index))
            if len(pending) > readers * _READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
